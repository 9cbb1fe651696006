//! A network in operators that other programs know: what each kind draws itself as, by the names and attributes of ONNX.
//!
//! Values are named: the network's input, what an operator gives, constants. Constants that are parameters have the parameter's own name.

use candle_core::{DType, Device, Result, Tensor};

/// Operators in their order, and the constants that they take.
#[derive(Debug, Default)]
pub struct Graph {
    pub operations: Vec<Operation>,
    pub constants: Vec<(String, Constant)>,
    /// Of the layer that is being drawn, "3.0".
    path: String,
}

/// A constant.
#[derive(Clone, Debug)]
pub enum Constant {
    /// Numbers of the network.
    Numbers(Tensor),
    /// Sizes and indices.
    Sizes(Vec<i64>),
}

/// One operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    pub name: &'static str,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub attributes: Vec<(&'static str, Attribute)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    Int(i64),
    Ints(Vec<i64>),
    Float(f32),
}

impl Graph {
    /// What is drawn from now on belongs to the layer at this path; gives the one before.
    pub fn at(&mut self, path: &str) -> String {
        std::mem::replace(&mut self.path, path.to_string())
    }

    /// The path of the layer that is being drawn.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// An operator with one result, whose name is given back.
    pub fn apply(&mut self, name: &'static str, inputs: &[&str], attributes: &[(&'static str, Attribute)]) -> String {
        self.parts(name, inputs, attributes, 1).remove(0)
    }

    /// An operator with several.
    pub fn parts(
        &mut self,
        name: &'static str,
        inputs: &[&str],
        attributes: &[(&'static str, Attribute)],
        count: usize,
    ) -> Vec<String> {
        let base = format!("{}/{name}_{}", self.path, self.operations.len());
        let outputs: Vec<_> = match count {
            1 => vec![base],
            n => (0..n).map(|i| format!("{base}.{i}")).collect(),
        };
        let inputs = inputs.iter().map(|input| input.to_string()).collect();
        self.operations.push(Operation { name, inputs, outputs: outputs.clone(), attributes: attributes.to_vec() });
        outputs
    }

    /// Numbers of the layer, under its path.
    pub fn numbers(&mut self, name: &str, value: &Tensor) -> String {
        self.constant(name, Constant::Numbers(value.detach()))
    }

    /// One number for all.
    pub fn number(&mut self, name: &str, value: f64, dtype: DType) -> Result<String> {
        let value = Tensor::full(value, (), &Device::Cpu)?.to_dtype(dtype)?;
        Ok(self.numbers(name, &value))
    }

    pub fn sizes(&mut self, name: &str, value: &[usize]) -> String {
        self.constant(name, Constant::Sizes(value.iter().map(|n| *n as i64).collect()))
    }

    /// Sizes behind the batch, whose own stays what it is.
    pub fn shape(&mut self, name: &str, sample: &[usize]) -> String {
        let all = [0].into_iter().chain(sample.iter().map(|n| *n as i64)).collect();
        self.constant(name, Constant::Sizes(all))
    }

    fn constant(&mut self, name: &str, value: Constant) -> String {
        let name = format!("{}.{name}", self.path);
        self.constants.push((name.clone(), value));
        name
    }
}

impl Constant {
    /// The same numbers in another tensor, as near as f32 holds them? Some are made of parameters, such as a cosine that is nearly 0.
    pub fn is_near(&self, other: &Tensor) -> Result<bool> {
        let numbers = |t: &Tensor| t.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
        let (own, shape) = match self {
            Self::Sizes(all) => (all.iter().map(|n| *n as f64).collect(), vec![all.len()]),
            Self::Numbers(t) => (numbers(t)?, t.dims().to_vec()),
        };
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-6 * a.abs().max(b.abs()) + 1e-7;
        Ok(shape == other.dims() && own.iter().zip(&numbers(other)?).all(near))
    }
}

impl Attribute {
    /// Is it this, of the parts of an attribute in a file?
    pub fn is(&self, int: i64, ints: &[i64], float: f32) -> bool {
        match self {
            Self::Int(own) => *own == int,
            Self::Ints(own) => own == ints,
            Self::Float(own) => *own == float,
        }
    }

    pub fn int(n: usize) -> Self {
        Self::Int(n as i64)
    }

    pub fn ints(all: &[usize]) -> Self {
        Self::Ints(all.iter().map(|n| *n as i64).collect())
    }
}
