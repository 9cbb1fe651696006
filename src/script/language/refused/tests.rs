use super::*;

/// Where `text` is refused, in a file and at the prompt alike.
fn refused(text: &str) -> Option<(usize, usize)> {
    let mut engine = Engine::new();
    engine.register_custom_operator("@", 170).unwrap();
    let [at_prompt, in_file] = [false, true].map(|strict| {
        engine.set_strict_variables(strict);
        let error = check(&engine, text).err()?;
        Some((error.1.line().unwrap(), error.1.position().unwrap()))
    });
    assert_eq!(at_prompt, in_file, "{text}");
    in_file
}

fn all_refused(texts: &[(&str, usize, usize)]) {
    for (text, line, column) in texts {
        assert_eq!(refused(text), Some((*line, *column)), "{text}");
    }
}

fn all_pass(texts: &[&str]) {
    for text in texts {
        assert_eq!(refused(text), None, "{text}");
    }
}

#[test]
fn what_reads_in_two_ways_is_refused_where_it_stands() {
    for (text, column) in [
        ("2 ^ 3", 3),
        ("let x = 2; x ^= 3;", 14),
        ("let x = 3; -x ** 2", 12),
        ("-2 ** 2", 1),
        ("-2.5 ** 2", 1),
        ("a - -b ** 2", 5),
        ("-f(x)[1].y ** 2", 1),
        ("-m::f(x) ** 2", 1),
        ("-x.abs() ** 2", 1),
        ("let h = l.len() // 2;", 17),
        ("`${-x ** 2}`", 4),
        ("`a ${ `b ${1}` } ${#{ a: 2 ^ 1 }} c`", 28),
        ("let h = n // 2;", 11),
        ("f(7 // 2)\n)", 5),
        ("[7 // 2\n]", 4),
        ("let h = n // width;", 11),
        ("switch x { 1.0 => 2, _ => 3 }", 12),
        ("switch x { 1 => 2, 3 | 0.5 => 3 }", 24),
    ] {
        assert_eq!(refused(text), Some((1, column)), "{text}");
    }
}

#[test]
fn divisions_of_what_may_be_whole_are_found() {
    let text = "let a = 1 / 2;\nlet b = 1.0 / 2;\nlet c = x / 2.0;\n`${x / y}`;\n// 1 / 2\nlet m = #{ a: x }; m.a /= 2; m.a / 3";
    assert_eq!(divisions(&Engine::new(), text), [1, 4, 6]);
}

#[test]
fn what_reads_in_one_way_passes() {
    for text in [
        "(-x) ** 2",
        "-(x ** 2)",
        "a - b ** 2",
        "1 - 2 ** 2",
        "2 ** -1",
        "[-1, 2 ** 2]",
        "f(-1, x ** 2)",
        "-x * y ** 2",
        "-x; y ** 2",
        "let a = 3 // the width\n;",
        "x // batch",
        "x; // 2",
        "let l = [\n  conv2d(32, 3),  // 1\n  linear(10)      // 2\n];",
        "`a ^ b // 2`",
        "1 /* never closed",
        "/** /* never closed */",
        "#\"2 ^ 3\"#",
        "/* 2 ^ 3 */ 1",
        "let u = \"https://x\";",
        "if -x > y ** 2 {}",
        "/// -x ** 2\nfn f() {}",
        "let a = -x\n + y ** 2",
        "switch x { 1 => 1.0, 2 if y > 1.0 => 2 }",
        "x ** 2 - 1",
        "a[-1] ** 2",
        "a @ b",
    ] {
        assert_eq!(refused(text), None, "{text}");
    }
}

#[test]
fn a_minus_sign_and_a_power_are_refused_only_where_the_power_takes_the_operand() {
    all_refused(&[
        ("-x[0] ** 2", 1, 1),
        ("-(x) ** 2", 1, 1),
        ("-f(x) ** 2", 1, 1),
        ("-f(|y| { y }, [-1]) ** 2", 1, 1),
        ("-x?.y ** 2", 1, 1),
        ("-+x ** 2", 1, 1),
        ("-{ x } ** 2", 1, 1),
        ("3 * -x ** 2", 1, 5),
        ("a == -x ** 2", 1, 6),
        ("|x| -x ** 2", 1, 5),
        ("[1, -x ** 2]", 1, 5),
        ("#{ a: -x ** 2 }", 1, 7),
        ("return -x ** 2;", 1, 8),
        ("if x == -1 { -x ** 2 }", 1, 14),
        ("if x == -1 { 1 } else { -x ** 2 }", 1, 25),
        ("`${-1} ${-x ** 2}`", 1, 10),
        // A minus sign to the parser alone.
        ("fn f(x) { if x < 0 { return 0; } -x ** 2 }", 1, 34),
        ("if x { } else { }\n-x ** 2", 2, 1),
        ("switch x { 1 => { 2 } }\n-2 ** 2", 2, 1),
        ("switch x { 1 => -x ** 2 }", 1, 17),
        ("switch -x ** 2 { 1 => 2 }", 1, 8),
        ("loop { break -x ** 2; }", 1, 14),
        ("a @ -x ** 2", 1, 5),
    ]);
    all_pass(&[
        "fn f(x) { if x == -1 { return 0; } x ** 2 }",
        "if x > -1.0 { return x; } x ** 2",
        "while x <= -1 { } x ** 2",
        "if best == -1 { }\n(best + 3) ** 2",
        "if x == -1 { 1 } else if x == -2 { 2 } else { 3 } x ** 2",
        "for i in -3..-1 { }\ni ** 2",
        "loop { if x == -1 { break; } x = x ** 2; }",
        "switch -x { -1 => x ** 2, -2 => -3, _ => x ** 2 } x ** 2",
        "switch x { 1 => { -1 } 2 => x ** 2 }",
        "do { x -= 1; } while x > -1; x ** 2",
        "try { -1 } catch (e) { -1 } x ** 2",
        "-1; x ** 2",
        "return -1; x ** 2",
        "[-1, x ** 2]",
        "#{ a: -1, b: x ** 2 }",
        "-1 == x ** 2",
        "-a + b ** 2",
        "-a * b ** 2",
        "-x && y ** 2 > 1",
        "let a = if c { 1 } else { 2 } - x ** 2;",
        "let m = #{ a: 3 }.a - x ** 2;",
        "let f = |x| -x; x ** 2",
        "let f = |x| { -x }; x ** 2",
        "f(|x| -x, x ** 2)",
        "`${-1} ${x ** 2}`.len() ** 2",
        "let s = `if x == -1 { } x ** 2`;",
        "let a = -1 + `${x ** 2}`.len();",
    ]);
}

#[test]
fn a_float_is_refused_where_a_switch_compares_with_it() {
    all_refused(&[
        ("switch x { 0.5 if y > 1 => 2 }", 1, 12),
        ("switch x { -0.5 => 2 }", 1, 12),
        ("switch x { 1 => |x| x, 0.5 => 2 }", 1, 24),
        ("switch x { 1 => |x, y| 2, 3 | 0.5 => 2 }", 1, 31),
        ("switch x { 1 => { 2 } 0.5 => 2 }", 1, 23),
        ("switch x { 1 => if y { 2 } else { 3 } 0.5 => 2 }", 1, 39),
        ("switch x { 1 => switch y { 1 => 2, 0.5 => 3 }, _ => 2 }", 1, 36),
        ("switch x { 1 => switch y { 1 => 2 } 0.5 => 3 }", 1, 37),
        ("switch f(|x| { x }) { 0.5 => 2 }", 1, 23),
        ("fn f(x) { switch x { 0.5 => 2 } }", 1, 22),
    ]);
    all_pass(&[
        "let f = switch \"a\" { \"a\" => |x| 0.5 * x, _ => |x| x };",
        "let f = switch \"a\" { \"a\" | \"b\" => |x, y| 0.5 * x, _ => || 0.5 };",
        "let f = switch 1 { 1 => |x| { 0.5 * x }, 2 => |x| 1.0, _ => |x| x };",
        "switch x { 1 => a | 2, _ => f(|x| 0.5, 0.5) }",
        "switch x { 1 if x > 0.5 => 0.1, 2 if 0.5 < x || f(0.5, |y| 0.5) => 0.2 }",
        "switch x { 1 => if y > 0.5 { 0.5 } else if y > 0.1 { 0.1 } else { 0.5 }, _ => -0.5 }",
        "switch x { 1 => { 0.5 } 2 => 0.5, 3 => [0.5, 0.6], 4 => #{ a: 0.5 } }",
        "switch x { 1 => switch y { 1 => 0.5, _ => |x| 0.5 }, _ => 0.5 }",
        "switch x { 1 => 2 } 0.5",
    ]);
}

#[test]
fn a_comment_that_would_divide_is_refused() {
    all_refused(&[
        ("fn half(n) {\n   n // 2 + 1\n}", 2, 6),
        ("fn half(n, k) {\n   n // k\n}", 2, 6),
        ("fn half(n, k) {\n   (n + 1) // k\n}", 2, 12),
        ("fn half(n, k) {\n   return n // (k + 1)\n}", 2, 13),
        ("fn half(n, k) {\n   n // k.len()\n}", 2, 6),
        ("fn half() {\n   this // 2\n}", 2, 9),
        ("fn half(n) {\n   f(n) // 2\n}", 2, 9),
        ("fn half(n) {\n   let h = n // 2;\n}", 2, 14),
        ("let l = [\n n // 2 + 1\n];", 2, 4),
        ("let l = [\n l.len() // 2\n];", 2, 10),
        ("let l = [\n n // 2,\n];", 2, 4),
        ("#{ width: n // 2\n}", 1, 13),
        ("#{ width: 64 // 2 }\n}", 1, 14),
        ("let h = n // 2 + 1;", 1, 11),
        ("let h = n // 2; // half", 1, 11),
        ("let h = n // len(l);", 1, 11),
        ("let h = n//2;", 1, 10),
        ("let h = n // -2", 1, 11),
        ("let h = x[0] // 2", 1, 14),
        ("print(n // 2);", 1, 9),
        ("f(n // 2, 3);", 1, 5),
        ("x[n // 2];", 1, 5),
        ("if n // 2 == k {\n}", 1, 6),
        ("while i < n // 2\n{ }", 1, 13),
        ("fn half(n) { n // 2 }", 1, 16),
        ("f(x,\n  n // 2)", 2, 5),
    ]);
}

#[test]
fn ordinary_comments_pass() {
    let notes = "the width ; width ; todo ; TODO: n ; in pixels, not n ; [n, 3, 32, 32] ; (N, C, H, W) ; \
                     (unused) ; (default) ; n-th ; 1-Lipschitz ; 10-fold ; 32x32 ; 2x faster ; 50% ; 0..1 ; \
                     CIFAR-10 ; ResNet-18 ; train/test ; conv + relu ; L2 ; batch, ; true ; this ; = 2 * 16 ; + n ; \
                     - n ; .relu() ; \"local\" ; https://arxiv.org/abs/1 ; ||W|| ; O(n) ; n is fixed ; 3 layers ; \
                     1e-3 in the paper ; n = 2";
    let lines = "x  // 2 ; x //  2 ; x\t// 2 ; x /// 2 ; foo() // returns 3 ; 1e-3 // 1e-4 for MaxMin ; \
                     32 // = 2 * 16 ; \"a\" // 2 ; true // 2 ; [1] + 800, // 200 for a test ; 3, // 64";
    for (code, close) in [("fn f(x, n) {\n    ", "\n}"), ("let l = [\n    ", "\n];"), ("#{ a: 1,\n   b: ", "\n}")] {
        for line in notes.split(" ; ").map(|note| format!("x // {note}")).chain(lines.split(" ; ").map(String::from)) {
            let text = format!("{code}{line}{close}");
            assert_eq!(refused(&text), None, "{text}");
        }
    }
    all_pass(&[
        "let a = 1; // 2",
        "#{ width: 32 // 64\n}",
        "#{ eps: 0.031 // 8/255\n}",
        "#{ width: 32 // 2 * 16\n}",
        "#{ \"shift\": -1 // 2\n}",
        "let l = [\n  conv2d(64, 3), // 1\n  conv2d(32, 3) // 2\n];",
        "let l = [\n  conv2d(32,\n    3) // 2\n];",
        "let l = [\n  nn::linear(10) // 2\n];",
        "sequential([\n  relu() // 2\n]);",
        "train(\n  16 // 32\n);",
        "switch x { \"a\" => 1, // 2\n _ => 3 // 4\n}",
        "fn f(\n  epochs, // 200\n  eps // 8/255\n) { }",
        "fn f(x) // 2\n{ x }",
        "let y = x // 3\n    .conv(8) // 32\n    // then\n    .relu() // 64\n    .flatten();",
        "if x { // 2\n} // 3",
    ]);
}
