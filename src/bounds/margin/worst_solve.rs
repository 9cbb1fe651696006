//! One maximisation of the worst logits: `direction . d` over ball, box or both, with direction = w_j - w_y
//!
//! ```text
//! corner   c_i = high_i where D_i > 0, low_i where D_i < 0, 0 where D_i = 0
//! point    d_i = c_i where clipped, s D_i elsewhere, with s = 1 / (2 lambda) such that ||d|| = radius
//! gradient in D: d;   in the box where clipped: D_i - d_i / s (D_i at the corner);   in the radius: radius / s (0 there)
//! ```
//!
//! The methods differ in which coordinates are clipped, and the gradient is the same function of point and s for all:
//!
//! ```text
//! exact    if ||c|| <= radius the corner; else the breakpoints s_i = c_i / D_i sorted,
//!          s^2 = (radius^2 - sum of c_i^2 below) / (sum of D_i^2 above)
//! clip     clip-and-enlarge: whatever leaves the box stays clipped, the others grow by one factor to ||d|| = radius again
//! ball     nothing is clipped: s = radius / ||D||
//! box      everything is: the corner
//! ```

/// Which coordinates are clipped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    Exact,
    Clip { iterations: usize },
    Ball,
    Box,
}

/// One maximisation: its value, its point and its multiplier.
#[derive(Clone, Debug)]
pub struct Maximum {
    pub value: f64,
    /// The maximising d.
    pub point: Vec<f64>,
    /// `s = 1 / (2 lambda)`; infinite where the corner is the solution.
    pub scale: f64,
    /// Which coordinates lie at the box.
    pub clipped: Vec<bool>,
}

/// Maximise `direction . d` over `||d|| <= radius`, `low <= d <= high`, or what `rule` makes of it. A NaN in what the rule
/// reads gives the value NaN.
pub fn maximize(rule: Rule, direction: &[f64], low: &[f64], high: &[f64], radius: f64) -> Maximum {
    match rule {
        Rule::Exact => exact(direction, &corner(direction, low, high), radius),
        Rule::Clip { iterations } => clip(direction, low, high, radius, iterations),
        Rule::Ball => {
            let scale = radius / norm(direction);
            assemble(direction, &[], vec![false; direction.len()], if scale.is_finite() { scale } else { 0.0 }, radius)
        }
        Rule::Box => at_corner(direction, &corner(direction, low, high)),
    }
}

fn corner(direction: &[f64], low: &[f64], high: &[f64]) -> Vec<f64> {
    let end = |(d, (low, high)): (&f64, (&f64, &f64))| match () {
        () if *d > 0.0 => *high,
        () if *d < 0.0 => *low,
        // A NaN stays one.
        () => 0.0 * *d,
    };
    direction.iter().zip(low.iter().zip(high)).map(end).collect()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn at_corner(direction: &[f64], corner: &[f64]) -> Maximum {
    let clipped = direction.iter().map(|d| *d != 0.0).collect();
    Maximum { value: dot(direction, corner), point: corner.to_vec(), scale: f64::INFINITY, clipped }
}

fn nothing(corner: &[f64]) -> Maximum {
    Maximum { value: f64::NAN, point: corner.to_vec(), scale: f64::INFINITY, clipped: vec![false; corner.len()] }
}

/// The point of given clipped coordinates and factor.
fn assemble(direction: &[f64], corner: &[f64], clipped: Vec<bool>, scale: f64, radius: f64) -> Maximum {
    let at = |(i, d): (usize, &f64)| match () {
        () if clipped[i] => corner[i],
        // The factor may be infinite.
        () if *d == 0.0 => 0.0,
        () => scale * d,
    };
    let point: Vec<f64> = direction.iter().enumerate().map(at).collect();
    let value = if radius.is_nan() { f64::NAN } else { dot(direction, &point) };
    Maximum { value, point, scale, clipped }
}

fn exact(direction: &[f64], corner: &[f64], radius: f64) -> Maximum {
    let squares: f64 = corner.iter().map(|c| c * c).sum();
    if squares.is_nan() || radius.is_nan() {
        return nothing(corner);
    }
    if squares <= radius * radius {
        return at_corner(direction, corner);
    }
    let mut order: Vec<(f64, usize)> =
        (0..direction.len()).filter(|i| direction[*i] != 0.0).map(|i| (corner[i] / direction[i], i)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Sums of D^2 over what lies above each breakpoint, added from the end so that small terms keep their digits.
    let mut above = vec![0.0; order.len() + 1];
    for (k, (_, i)) in order.iter().enumerate().rev() {
        above[k] = above[k + 1] + direction[*i] * direction[*i];
    }
    let (mut below, mut scale) = (0.0, f64::INFINITY);
    for (k, (breakpoint, i)) in order.iter().enumerate() {
        // With everything from k on free: does the ball end before this breakpoint?
        let candidate = ((radius * radius - below).max(0.0) / above[k]).sqrt();
        if candidate <= *breakpoint {
            scale = candidate;
            break;
        }
        below += corner[*i] * corner[*i];
    }
    let clipped = corner.iter().zip(direction).map(|(c, d)| (scale * d).abs() >= c.abs() && *d != 0.0);
    let clipped: Vec<bool> =
        clipped.zip(corner.iter().zip(direction)).map(|(out, (c, d))| out && *c != scale * d).collect();
    assemble(direction, corner, clipped, scale, radius)
}

/// The value `sum over clipped D_i c_i + ||D_free|| sqrt(radius^2 - ||c_clipped||^2)` after any number of iterations.
fn clip(direction: &[f64], low: &[f64], high: &[f64], radius: f64, iterations: usize) -> Maximum {
    let corner = corner(direction, low, high);
    if radius.is_nan() || corner.iter().any(|c| c.is_nan()) {
        return nothing(&corner);
    }
    let mut clipped = vec![false; direction.len()];
    // Squares of what is free, and what of the radius is left for it.
    let factor = |clipped: &[bool]| {
        let sum = |of: &[f64], wanted: bool| -> f64 {
            of.iter().zip(clipped).filter(|(_, c)| **c == wanted).map(|(x, _)| x * x).sum()
        };
        ((radius * radius - sum(&corner, true)).max(0.0), sum(direction, false))
    };
    for _ in 0..iterations {
        let (left, free) = factor(&clipped);
        let scale = (left / free).sqrt();
        let mut grown = false;
        for i in 0..direction.len() {
            // 0/0 where nothing is free: no comparison with NaN adds to the set.
            let point = scale * direction[i];
            if !clipped[i] && (point > high[i] || point < low[i]) {
                (clipped[i], grown) = (true, true);
            }
        }
        if !grown {
            break;
        }
    }
    let (left, free) = factor(&clipped);
    // Where nothing is free, nothing grows.
    let scale = if free == 0.0 { f64::INFINITY } else { (left / free).sqrt() };
    assemble(direction, &corner, clipped, scale, radius)
}

impl Maximum {
    /// The derivative of the value in the radius.
    pub fn in_radius(&self, direction: &[f64], radius: f64) -> f64 {
        match () {
            () if self.scale.is_infinite() => 0.0,
            () if self.scale > 0.0 => radius / self.scale,
            // From radius 0 the ball's end moves along what is free of D.
            () if radius == 0.0 => {
                let free = direction.iter().zip(&self.clipped).filter(|(_, clipped)| !**clipped);
                free.map(|(d, _)| d * d).sum::<f64>().sqrt()
            }
            // Clipped coordinates alone fill the ball: a kink, at which nothing moves.
            () => 0.0,
        }
    }

    /// The derivative of the value in the end of the box at which coordinate `i` lies; `None` where it lies inside.
    pub fn in_box(&self, direction: &[f64], i: usize) -> Option<f64> {
        let kink = self.scale.is_infinite() || self.scale == 0.0;
        self.clipped[i].then(|| if kink { direction[i] } else { direction[i] - self.point[i] / self.scale })
    }
}
