use super::*;

fn found(script: &str) -> Vec<String> {
    let mut engine = rhai::Engine::new();
    engine.set_optimization_level(rhai::OptimizationLevel::None);
    engine.set_max_expr_depths(0, 0);
    let ast = engine.compile(script).unwrap();
    let purity = Purity::new(&engine, ast.iter_functions().map(|f| f.name.to_string()).collect());
    let name = |lost: Lost| format!("{}: {}", lost.function.unwrap_or("closure".into()), lost.parameter);
    lost(&ast, &purity, script).into_iter().map(name).collect()
}

#[test]
fn what_is_changed_for_nothing_is_found() {
    for (script, what) in [
        ("fn remember(l, v) { l.push(v); }", "remember: l"),
        ("fn remember(l, v) { l.push(v) }", "remember: l"),
        ("fn f(m) { m.best = 3; }", "f: m"),
        ("fn f(m) { m.list[0].x += 1; 5 }", "f: m"),
        ("fn f(n) { n += 1; }", "f: n"),
        ("fn f(l) { push(l, 1); }", "f: l"),
        ("fn f(l) { let n = l.len(); for i in 0..n { l[i] = 0; } }", "f: l"),
        ("fn f(t) { t.make_upper(); }", "f: t"),
        ("[[1]].for_each(|l| l.push(2));", "closure: l"),
        ("fn f(l) { print(l); l.sort(); }", "f: l"),
        // What the new value is made of is read before the change.
        ("fn upd(best, v) { best = max(best, v); }", "upd: best"),
        ("fn f(lr) { lr = lr * 0.5; }", "f: lr"),
        ("fn f(a) { a += a; }", "f: a"),
        ("fn f(m, k) { m[m.len()] = k; }", "f: m"),
        ("fn f(l) { l = g(l); } fn g(l) { l + [1] }", "f: l"),
        // What a loop reads of it for the change alone.
        ("fn scale(l, k) { for i in 0..l.len() { l[i] *= k; } }", "scale: l"),
        ("fn scale(l, k) { let i = 0; while i < l.len() { l[i] *= k; i += 1; } }", "scale: l"),
        ("fn scale(l, k) { let i = 0; do { l[i] *= k; i += 1; } until i == len(l); }", "scale: l"),
        ("fn scale(l, k) { for i in 0..3 { l[i] = l[i] * k; } }", "scale: l"),
        ("fn scale(m, k) { for r in 0..m.len() { for c in 0..m[r].len() { m[r][c] /= k; } } }", "scale: m"),
        ("fn scale(l, k) { for e in 0..3 { for i in 0..l.len() { l[i] *= k; } } }", "scale: l"),
        ("fn scale(l, k) { l.for_each(|| this *= k); }", "scale: l"),
        ("fn fill(l) { for i in 0..3 { l.push(l.len()); } }", "fill: l"),
        ("fn f(n) { loop { n = max(n - 1, 0); if done() { break; } } } fn done() { true }", "f: n"),
        // What takes something out, and does not want it.
        ("fn drop_last(l) { l.pop(); }", "drop_last: l"),
        ("fn drop_last(l) {\n    // One is too many.\n    l.pop(); // gone\n}\ndrop_last([1]);", "drop_last: l"),
        ("fn drop_last(l) { l.pop(); } fn main() { drop_last([1]); }", "drop_last: l"),
        ("fn cut(l) { l.shift(); }", "cut: l"),
        ("fn drop_key(m) { m.remove(\"a\"); }", "drop_key: m"),
        ("fn keep_big(l) { l.retain(|x| x > 1); }", "keep_big: l"),
        ("fn one(l) { l.splice(0..1, []); }", "one: l"),
        ("fn d(l) { l.drain(0..1); }", "d: l"),
        ("fn f(m) { m.list[0].pop(); 1 }", "f: m"),
        ("fn f(l) { pop(l); print(`${1}`); }", "f: l"),
        ("fn f(l) { if l.len() > 3 { l.pop(); } }", "f: l"),
        ("fn f(l) { if l.len() > 3 { l.pop() }; }", "f: l"),
        ("fn f(l) { for i in 0..2 { l.shift() } }", "f: l"),
        ("fn f(l, a) { switch a { 1 => { l.pop(); } _ => print(l) } }", "f: l"),
        ("fn f(l) { try { l.pop(); } catch (e) { print(e); } }", "f: l"),
        ("fn f(n, l) { if n > 0 { n = 0; } else { print(n); } l }", "f: n"),
    ] {
        assert_eq!(found(script), [what], "{script}");
    }
}

#[test]
fn what_is_used_or_shared_is_not() {
    for script in [
        "fn f(l, v) { l.push(v); l }",
        "fn f(l, v) { l.push(v); return l; }",
        "fn f(o) { let n = o.get(\"a\"); o.remove(\"a\"); o.b = [n]; g(o) } fn g(o) { o.len() }",
        "fn f(l) { l.pop() }",
        "fn f(n) { while n > 0 { n -= 1; } }",
        "fn f(l) { for i in 0..3 { print(l.len()); l.push(i); } }",
        "fn f() { this.push(1); }",
        "let l = []; let f = |x| l.push(x); f.call(1);",
        "fn f(o) { o.step(1); }",
        "fn f(l) { let g = |x| l.push(x); g.call(1); l }",
        "fn f(x) { let x = 3; x += 1; x }",
        "fn f(x) { if x > 3 { x = 3; } x * 2 }",
        // Used later.
        "fn f(best, v) { best = max(best, v); best }",
        "fn f(x) { x = clamp(x); print(x); } fn clamp(x) { max(0, min(x, 1)) }",
        "fn f(x) { if x < 0 { return; } x -= 1; print(`${x}`); }",
        "fn f(x, l) { if x < 0 { x = 0; return x; } l.push(x); l }",
        "fn f(t) { for i in 0..3 { t += `${i} `; } t }",
        "fn f(t) { t.trim(); t.make_upper(); #{ text: t } }",
        "fn f(t, other) { t.trim(); other == t }",
        "fn f(l) { l.sort(); l[0] }",
        "fn f(m) { m.count += 1; m.count }",
        "fn f(m) { m.remove(\"a\"); m.keys() }",
        "fn f(m, k) { m[k] = 1; m.len() }",
        "fn f(l) { let last = l.pop(); last * 2 }",
        "fn f(o) { o.lr = 0.1; train(o) } fn train(o) { o.lr }",
        "fn f(a, b) { while b != 0 { let c = a % b; a = b; b = c; } a }",
        "fn f(x) { x += 1; let h = || x; h.call() }",
        "fn f(x) { let h = || x; x += 1; h.call() }",
        "fn counter(n) { || { n += 1; n } }",
        "fn f(x) { x += 1; eval(\"x\") }",
        // Used in another round.
        "fn f(l) { while l.len() > 3 { l.pop(); } }",
        "fn f(l) { while !l.is_empty() { print(l.pop()); } }",
        "fn f(l) { let i = 0; while l[i] > 0 { l[i] -= 1; } }",
        "fn f(l) { let i = 0; while l[i].len() < 3 { l[i] = grow(); } } fn grow() { [1, 2, 3] }",
        "fn f(l) { for i in 0..3 { for k in 0..l.len() { print(k); } l.push(i); } }",
        "fn f(n) { do { n /= 2; print(\"half\"); } while n > 1; }",
        "fn f(n) { loop { if n == 0 { break; } n -= 1; } }",
        "fn f(lr) { for epoch in 0..3 { train(lr); lr *= 0.5; } } fn train(lr) { print(lr) }",
        "fn f(s, o) { for i in 0..3 { s = o.step(s); } }",
        "fn f(l) { for i in 0..3 { for k in l { print(k); } for k in 0..3 { l[k] += i; } } }",
        "fn f(l) { for i in 0..3 { l = l.filter(|x| { print(x); true }); } }",
        "fn f(l) { loop { l.push(1); if l.len() > 3 { break l; } } }",
        // Branches.
        "fn f(x) { try { x += 1; risky(x); } catch (e) { throw e; } } fn risky(x) { throw x }",
        "fn f(x) { try { x += 1; throw 1; } catch { print(x); } }",
        "fn f(e) { try { e += 1; throw 1; } catch (e) { print(e); } }",
        "fn f(x, k) { switch k { \"up\" => { x += 1; } \"down\" => x -= 1, _ => () } x }",
        "fn f(l, k) { switch k { 1 => l.pop(), _ => l.shift() } }",
        "fn f(l) { if l.len() > 3 { l.pop() } else { () } }",
        "fn f(l) { let x = if l.len() > 3 { l.pop(); } else { 0 }; x }",
        // Its value is what it is for.
        "fn int.f(l) { l.pop() } fn f(l) { print(l) }",
        "fn take(l) { l.pop(); } let x = take([1]);",
        "fn take(l) { l.pop(); } [[1], [2]].map(|l| take(l));",
        "let f = |l| { l.pop(); };",
        "fn show(l) { l.for_each(|| print(this)); }",
        "fn f(l, i) { l[i].push(3); l }",
        "fn f(l, order) { l[order.pop()] }",
        "fn f(l, order) { l[order.pop()].step(); }",
        // Handles of the host, and what may be one.
        "fn f(net, t, opt) { opt.step(1); t.foo(); net.layers[0].freeze(); net.layers().clear(); }",
        "fn f(big) { print(big); big = (); print(1); }",
    ] {
        assert!(found(script).is_empty(), "{script}: {:?}", found(script));
    }
}

#[test]
fn without_the_text_what_ends_a_function_may_be_its_value() {
    let engine = rhai::Engine::new();
    for (script, count) in [("fn f(l) { l.pop(); }", 0), ("fn f(l) { l.pop(); 1 }", 1), ("fn f(l) { l.push(1); }", 1)] {
        let ast = engine.compile(script).unwrap();
        assert_eq!(lost(&ast, &Purity::new(&engine, BTreeSet::from(["f".to_string()])), "").len(), count, "{script}");
    }
}
