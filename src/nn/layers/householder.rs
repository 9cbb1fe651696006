//! `householder()`: channel i and channel i + C/2, p and q, reflected at a learned line where they lie on its one side (Singla, Singla & Feizi
//! 2022):
//!
//! ```text
//! s = p sin(t/2) - q cos(t/2)      s > 0:  (p cos t + q sin t, p sin t - q cos t)      else (p, q)
//! ```
//!
//! Two isometries that agree where s = 0: 1-Lipschitz. At t = pi/2 it is (min, max) of the pair.

use super::activation::{Activation, Boxes, Clipping, Facts, Lines};
use super::entry::{Entry, none_left};
use super::graph::{Attribute, Graph};
use super::maxmin::{drawn_halves, paired};
use super::pairs::halves;
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role, Start};
use crate::compute::elementwise::clip::{larger, smaller};
use candle_core::{Result, Tensor};
use serde_json::{Map, Value};
use std::f64::consts::FRAC_PI_2;
use std::rc::Rc;

/// Sine and cosine, products, a sum; and which side it is on, where the pieces differ by twice what s was rounded by.
const ROUNDINGS: usize = 16;

#[derive(Clone, Copy, Debug)]
pub struct Householder;

pub const ENTRY: Entry = Entry {
    name: "householder",
    arguments: &[],
    options: &[],
    make: |_| LayerSpec::of(Householder),
    read: |settings| none_left(&settings, Householder),
};

impl Kind for Householder {
    fn name(&self) -> &str {
        ENTRY.name
    }

    fn describe(&self) -> String {
        "householder()".into()
    }

    fn own(&self) -> Vec<Own> {
        vec![]
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        paired(input)
    }

    fn settings(&self) -> Map<String, Value> {
        Map::new()
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        vec![Parameter::new("theta", &[input[0] / 2], Start::Constant(FRAC_PI_2))]
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        let [p, q] = drawn_halves(place, graph, &x);
        let mut shape = vec![1; place.input.len() + 1];
        shape[1] = place.input[0] / 2;
        let angles = Reflected { theta: place.parameter("theta")?.detach().reshape(shape)? }.angles()?;
        // Not read in the graph: what the others are made of, for whoever reads it back.
        graph.numbers("theta", &place.parameter("theta")?);
        // Made once: sine and cosine of double numbers are not everywhere to be had.
        let (sin, cos) = (graph.numbers("sin", &angles.sin), graph.numbers("cos", &angles.cos));
        let (half_sin, half_cos) =
            (graph.numbers("half_sin", &angles.half_sin), graph.numbers("half_cos", &angles.half_cos));
        let zero = graph.number("zero", 0.0, place.dtype)?;
        let mut of = |a: &str, by: &str, op, b: &str, other: &str| {
            let (one, two) = (graph.apply("Mul", &[a, by], &[]), graph.apply("Mul", &[b, other], &[]));
            graph.apply(op, &[&one, &two], &[])
        };
        let side = of(&p, &half_sin, "Sub", &q, &half_cos);
        let (first, second) = (of(&p, &cos, "Add", &q, &sin), of(&p, &sin, "Sub", &q, &cos));
        let on = graph.apply("Greater", &[&side, &zero], &[]);
        let (first, second) =
            (graph.apply("Where", &[&on, &first, &p], &[]), graph.apply("Where", &[&on, &second, &q], &[]));
        Ok(graph.apply("Concat", &[&first, &second], &[("axis", Attribute::Int(1))]))
    }

    fn build(&self, place: &Place) -> Result<Role> {
        let mut shape = vec![1; place.input.len() + 1];
        shape[1] = place.input[0] / 2;
        Ok(Role::Activation(Rc::new(Reflected { theta: place.parameter("theta")?.reshape(shape)? })))
    }
}

/// With its angles, shaped to be broadcast over a batch of halves.
#[derive(Clone, Debug)]
struct Reflected {
    theta: Tensor,
}

/// Sine and cosine of t and of t / 2.
struct Angles {
    sin: Tensor,
    cos: Tensor,
    half_sin: Tensor,
    half_cos: Tensor,
}

impl Reflected {
    fn angles(&self) -> Result<Angles> {
        let half = (&self.theta * 0.5)?;
        Ok(Angles { sin: self.theta.sin()?, cos: self.theta.cos()?, half_sin: half.sin()?, half_cos: half.cos()? })
    }
}

/// The ends of `a x + b y` over boxes of x and y, for numbers a and b of either sign.
fn ends(a: &Tensor, x: (&Tensor, &Tensor), b: &Tensor, y: (&Tensor, &Tensor)) -> Result<(Tensor, Tensor)> {
    let of = |w: &Tensor, (low, high): (&Tensor, &Tensor)| -> Result<(Tensor, Tensor)> {
        let (one, two) = (low.broadcast_mul(w)?, high.broadcast_mul(w)?);
        Ok((smaller(&one, &two)?, larger(&one, &two)?))
    };
    let ((a_low, a_high), (b_low, b_high)) = (of(a, x)?, of(b, y)?);
    Ok(((a_low + b_low)?, (a_high + b_high)?))
}

impl Activation for Reflected {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (p, q) = halves(x)?;
        let Angles { sin, cos, half_sin, half_cos } = self.angles()?;
        let on = (p.broadcast_mul(&half_sin)? - q.broadcast_mul(&half_cos)?)?.gt(0.0)?;
        let first = (p.broadcast_mul(&cos)? + q.broadcast_mul(&sin)?)?;
        let second = (p.broadcast_mul(&sin)? - q.broadcast_mul(&cos)?)?;
        Tensor::cat(&[on.where_cond(&first, &p)?, on.where_cond(&second, &q)?], 1)
    }

    /// On the way one piece follows the other: no further than the larger of the two would go.
    fn spread(&self, each: &Tensor) -> Result<Tensor> {
        let (p, q) = halves(each)?;
        let Angles { sin, cos, .. } = self.angles()?;
        let (sin, cos) = (sin.abs()?, cos.abs()?);
        let mixed = |own: &Tensor, other: &Tensor| -> Result<Tensor> {
            larger(own, &(own.broadcast_mul(&cos)? + other.broadcast_mul(&sin)?)?)
        };
        Tensor::cat(&[mixed(&p, &q)?, mixed(&q, &p)?], 1)
    }

    fn facts(&self) -> Facts {
        Facts { lipschitz: 1.0, roundings: Some(ROUNDINGS), thresholds: vec![], cancels: true, fused: None }
    }

    fn boxes(&self) -> Option<&dyn Boxes> {
        Some(self)
    }

    fn clipping(&self) -> Option<&dyn Clipping> {
        None
    }

    fn lines(&self) -> Option<&dyn Lines> {
        None
    }

    fn frozen(&self) -> Rc<dyn Activation> {
        Rc::new(Self { theta: self.theta.detach() })
    }
}

impl Boxes for Reflected {
    /// Those of the pieces that the box reaches: as it is, reflected, or the smallest box around both.
    fn image(&self, lower: &Tensor, upper: &Tensor) -> Result<[Tensor; 2]> {
        let ((p_low, q_low), (p_high, q_high)) = (halves(lower)?, halves(upper)?);
        let (p, q) = ((&p_low, &p_high), (&q_low, &q_high));
        let Angles { sin, cos, half_sin, half_cos } = self.angles()?;
        let (least, most) = ends(&half_sin, p, &half_cos.neg()?, q)?;
        // Rounding may not choose a side that the box only nearly keeps to.
        let sizes = larger(&larger(&p_low.abs()?, &p_high.abs()?)?, &larger(&q_low.abs()?, &q_high.abs()?)?)?;
        let room = (sizes * 1e-5)?;
        let (off, on) = (most.le(&room.neg()?)?, least.ge(&room)?);
        let (first, second) = (ends(&cos, p, &sin, q)?, ends(&sin, p, &cos.neg()?, q)?);
        let pick = |own: &Tensor, reflected: &Tensor, both: Tensor| -> Result<Tensor> {
            // A NaN is on no side.
            off.where_cond(own, &on.where_cond(reflected, &both)?)
        };
        let low = |own: &Tensor, reflected: &Tensor| pick(own, reflected, smaller(own, reflected)?);
        let high = |own: &Tensor, reflected: &Tensor| pick(own, reflected, larger(own, reflected)?);
        Ok([
            Tensor::cat(&[low(&p_low, &first.0)?, low(&q_low, &second.0)?], 1)?,
            Tensor::cat(&[high(&p_high, &first.1)?, high(&q_high, &second.1)?], 1)?,
        ])
    }
}
