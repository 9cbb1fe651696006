//! Ball and box through layers and what lies behind them.

use super::{CPU, check, chosen, draw, layers};
use candle_core::{DType, Tensor};
use workbench::base::random::Generator;
use workbench::bounds::Region;
use workbench::nn::layers::{ClippedMaxMin, Conv2d, Flatten, Linear, MaxMin, Relu, ReluTheta};
use workbench::nn::{Layer, LayerSpec, Sequential};

#[test]
fn ball_and_box_through_a_layer() {
    let random = Generator::new(3);
    for model in layers(&random) {
        let shape = [&[3], model.input()].concat();
        let center = draw(&random, &shape);
        let room = |random: &Generator| (draw(random, &shape).abs().unwrap() * 0.2).unwrap();
        let (lower, upper) = ((&center - room(&random)).unwrap(), (&center + room(&random)).unwrap());
        let radius = Tensor::new(&[0.0, 0.4, 3.0], &CPU).unwrap();
        let threshold = draw(&random, &[&[1], model.output()].concat()).abs().unwrap();
        let parameters: Vec<Tensor> = model.parameters().iter().map(|(_, v)| v.as_tensor().copy().unwrap()).collect();
        let inputs = [vec![center, lower, upper, radius, threshold], parameters].concat();
        check("region", &inputs, |a| {
            let mut own = model.to_dtype(a[0].dtype())?.layers()[0].clone();
            own = own.with_parameters(&[("weight", a[5].clone()), ("bias", a[6].clone())])?;
            let sigma = Tensor::new(&[1.5], a[0].device())?.to_dtype(a[0].dtype())?;
            let region = Region::new(&a[0], &a[1], &a[2], a[3].clone())?.affine(&own, &sigma)?;
            let (dtype, device) = (a[0].dtype(), a[0].device());
            let threshold = [("threshold", a[4].clone())];
            let clipped = LayerSpec::of(ReluTheta { theta: 0.0 });
            let act = Layer::new(1, &clipped, &own.output, &threshold, dtype, device)?;
            let behind = region.activation(&act, false)?;
            let mask = workbench::bounds::varying(&act, &region)?.unwrap().to_dtype(a[0].dtype())?;
            let relu = Layer::new(1, &LayerSpec::of(Relu), &own.output, &[] as &[(&str, Tensor)], dtype, device)?;
            let open = workbench::bounds::varying(&relu, &region)?.unwrap().to_dtype(a[0].dtype())?;
            let other = region.activation(&relu, false)?;
            let gaps = behind.gaps()?;
            let (below, above) = (gaps.get(0)?, gaps.get(1)?);
            Ok(vec![
                region.center()?,
                region.lower()?,
                region.upper()?,
                region.radius.clone(),
                behind.center()?,
                behind.lower()?,
                behind.upper()?,
                mask,
                other.center()?,
                other.lower()?,
                other.upper()?,
                open,
                below,
                above,
            ])
        });
    }
}

/// Layer after layer without anybody asking for ends of boxes on the way, in sizes that are read one and four numbers at a time, with
/// more samples than are summed apart.
#[test]
fn regions_through_several_layers() {
    let random = Generator::new(12);
    let conv =
        |channels, kernel, stride| LayerSpec::of(Conv2d { channels, kernel, stride, padding: 1, bias: channels != 6 });
    let linear = |features| LayerSpec::of(Linear { features, bias: true });
    let (clipped, relu, flat) = (LayerSpec::of(ReluTheta { theta: 0.7 }), LayerSpec::of(Relu), LayerSpec::of(Flatten));
    let (maxmin, sorted) = (LayerSpec::of(MaxMin), LayerSpec::of(ClippedMaxMin { max: 0.3, min: -0.2 }));
    let cases = [
        (
            vec![3, 7, 6],
            5,
            vec![conv(8, 3, 1), sorted.clone(), conv(6, 3, 2), sorted.clone(), flat.clone(), linear(10)],
        ),
        (
            vec![2, 8, 8],
            3,
            vec![conv(8, 3, 1), maxmin.clone(), conv(16, 4, 2), sorted.clone(), flat.clone(), linear(12)],
        ),
        (vec![10], 150, vec![linear(14), sorted, linear(16), maxmin, linear(4)]),
        (
            vec![3, 7, 6],
            5,
            vec![conv(4, 3, 1), clipped.clone(), conv(6, 3, 2), clipped.clone(), flat.clone(), linear(9)],
        ),
        (vec![2, 8, 8], 3, vec![conv(8, 3, 1), relu.clone(), conv(8, 4, 2), clipped.clone(), flat, linear(12)]),
        (vec![10], 150, vec![linear(13), relu, linear(16), clipped.clone(), linear(4)]),
        (vec![6], 2, vec![linear(1100), clipped, linear(3)]),
    ];
    for (input, batch, specs) in cases {
        let model = Sequential::new(&input, &specs, DType::F64, &CPU, &random).unwrap().computed_in(&chosen());
        let x = draw(&random, &[&[batch], input.as_slice()].concat());
        let radius = (draw(&random, &[batch]).abs().unwrap() * 0.3).unwrap();
        let parameters: Vec<Tensor> = model.parameters().iter().map(|(_, v)| v.as_tensor().copy().unwrap()).collect();
        check("regions", &[vec![x, radius], parameters].concat(), |a| {
            let mut rest = a[2..].iter().cloned();
            let mut region = Region::around(&a[0].detach(), &a[1].detach(), false)?;
            let mut masks = vec![];
            for layer in model.to_dtype(a[0].dtype())?.layers() {
                let wanted = layer.spec.parameters(&layer.input);
                let own: Vec<_> = wanted.iter().map(|p| (&p.name, rest.next().unwrap())).collect();
                let layer = layer.with_parameters(&own)?;
                if layer.is_affine() {
                    let sigma = layer.weight().unwrap().sqr()?.sum_all()?.sqrt()?.reshape(1)?;
                    region = region.affine(&layer, &(sigma * 0.3)?)?;
                } else {
                    let before = region.clone();
                    region = region.activation(&layer, false)?;
                    let read = if layer.is_maxmin() { &region } else { &before };
                    let mask = if layer.is_activation() { workbench::bounds::varying(&layer, read)? } else { None };
                    masks.extend(mask.map(|mask| mask.to_dtype(a[0].dtype())).transpose()?);
                }
            }
            let gaps = region.gaps()?;
            let (below, above) = (gaps.get(0)?, gaps.get(1)?);
            Ok([vec![region.center()?, below, above, region.radius.clone()], masks].concat())
        });
    }
}
