//! Plots as files: lines, points or bars over labelled axes, SVG or PNG by the file's ending. plotters draws; the font is in
//! the program, so that a plot looks the same everywhere.

use super::curve::Series;
use super::distribution;
use super::screen::short;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use std::ops::Range;
use std::sync::Once;

/// What the values are drawn as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawing {
    /// Lines through the points.
    Line,
    /// The points.
    Points,
    /// Bars of a histogram of the values y.
    Histogram,
}

/// One plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Above it; may be empty.
    pub title: String,
    /// Below the x axis; may be empty.
    pub x_label: String,
    /// Beside the y axis; may be empty.
    pub y_label: String,
    /// Is the y axis logarithmic? Values that are not above 0 are left out then.
    pub log_y: bool,
    /// How the values are drawn.
    pub drawing: Drawing,
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Do the names stand beside the plot? Else they lie on it.
    pub names_beside: bool,
    /// The values.
    pub series: Vec<Series>,
}

/// Which files can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Svg,
    Png,
}

impl Format {
    /// By a file's ending.
    pub fn of(file: &str) -> Option<Self> {
        let ending = file.rsplit_once('.').map(|(_, ending)| ending.to_lowercase());
        match ending.as_deref() {
            Some("svg") => Some(Self::Svg),
            Some("png") => Some(Self::Png),
            _ => None,
        }
    }
}

/// The bins of a histogram.
const BINS: usize = 30;
/// Colours that are told apart with every kind of colour vision (Okabe and Ito).
const COLOURS: [RGBColor; 9] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(128, 128, 128),
    RGBColor(120, 94, 240),
    RGBColor(150, 100, 50),
];

impl Plot {
    /// The plot as the bytes of a file.
    pub fn render(&self, format: Format) -> Result<Vec<u8>, String> {
        static FONT: Once = Once::new();
        FONT.call_once(|| {
            // Fails only for bytes that are no font.
            let _ = register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular());
        });
        let (width, height) = self.size;
        match format {
            Format::Svg => {
                let mut text = String::new();
                self.draw(&SVGBackend::with_string(&mut text, self.size).into_drawing_area())?;
                Ok(text.into_bytes())
            }
            Format::Png => {
                let mut bytes = vec![0; 3 * width as usize * height as usize];
                self.draw(&BitMapBackend::with_buffer(&mut bytes, self.size).into_drawing_area())?;
                let image = image::RgbImage::from_raw(width, height, bytes).ok_or("the picture has a wrong size")?;
                let mut out = std::io::Cursor::new(vec![]);
                image.write_to(&mut out, image::ImageFormat::Png).map_err(|e| e.to_string())?;
                Ok(out.into_inner())
            }
        }
    }

    /// The points that are drawn: finite, and of a logarithmic axis the logarithms.
    fn points(&self, series: &Series) -> Vec<(f64, f64)> {
        let height = |y: f64| if self.log_y { y.log10() } else { y };
        let points = series.points.iter().map(|(x, y)| (*x, height(*y)));
        points.filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String> {
        let fail = |e: DrawingAreaErrorKind<B::ErrorType>| format!("the plot cannot be drawn: {e}");
        let drawn: Vec<Vec<(f64, f64)>> = self.series.iter().map(|s| self.points(s)).collect();
        let bars = self.drawing == Drawing::Histogram;
        let shapes: Vec<Vec<(f64, f64)>> =
            if bars { drawn.iter().map(|points| outline(points)).collect() } else { drawn };
        let (x, y) = (span(&shapes, |p| p.0, 0.0), span(&shapes, |p| p.1, 0.04));
        let y = if bars { 0.0..y.end } else { y };
        area.fill(&WHITE).map_err(fail)?;
        let named = self.series.iter().any(|s| !s.name.is_empty());
        let beside = if named && self.names_beside { Some(self.beside()) } else { None };
        let (area, names) = area.split_horizontally(self.size.0.saturating_sub(beside.unwrap_or(0)));
        let mut builder = ChartBuilder::on(&area);
        builder.margin(14).x_label_area_size(46).y_label_area_size(66);
        if !self.title.is_empty() {
            builder.caption(&self.title, ("sans-serif", 20));
        }
        let whole = shapes.iter().flatten().all(|p| p.0.fract() == 0.0);
        let x_labels = if whole && !bars { ((x.end - x.start).min(10.0) as usize + 1).max(2) } else { 11 };
        let numbers = if self.log_y { of_logarithms(&y) } else { None };
        let mut chart = builder.build_cartesian_2d(x, Axis { range: y.into(), numbers }).map_err(fail)?;
        let log = self.log_y;
        let tick = move |y: &f64| if log { short(10f64.powf(*y)) } else { short(*y) };
        chart
            .configure_mesh()
            .max_light_lines(0)
            .bold_line_style(RGBColor(225, 225, 225))
            .label_style(("sans-serif", 13))
            .axis_desc_style(("sans-serif", 15))
            .x_labels(x_labels)
            .x_desc(&self.x_label)
            .y_desc(&self.y_label)
            .x_label_formatter(&|x| short(*x))
            .y_label_formatter(&tick)
            .draw()
            .map_err(fail)?;
        for (i, (series, points)) in self.series.iter().zip(shapes).enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            let name = series.name.clone();
            let legend = move |(x, y)| Rectangle::new([(x, y - 4), (x + 14, y + 4)], colour.filled());
            let anno = match self.drawing {
                // A line through one point would be nothing.
                Drawing::Line if points.len() == 1 => {
                    chart.draw_series(points.into_iter().map(|p| Circle::new(p, 3, colour.filled())))
                }
                Drawing::Line => chart.draw_series(LineSeries::new(points, colour.stroke_width(2))),
                Drawing::Points => chart.draw_series(points.into_iter().map(|p| Circle::new(p, 3, colour.filled()))),
                Drawing::Histogram => {
                    chart.draw_series(std::iter::once(Polygon::new(points, colour.mix(0.55).filled())))
                }
            }
            .map_err(fail)?;
            if !name.is_empty() {
                anno.label(name).legend(legend);
            }
        }
        if beside.is_some() {
            for (i, series) in self.series.iter().enumerate() {
                let (y, colour) = (40 + 20 * i as i32, COLOURS[i % COLOURS.len()]);
                names.draw(&Rectangle::new([(0, y), (14, y + 8)], colour.filled())).map_err(fail)?;
                names.draw(&Text::new(series.name.clone(), (20, y - 2), ("sans-serif", 13))).map_err(fail)?;
            }
        } else if named {
            chart
                .configure_series_labels()
                .background_style(WHITE.mix(0.85))
                .border_style(RGBColor(200, 200, 200))
                .label_font(("sans-serif", 14))
                .position(SeriesLabelPosition::UpperRight)
                .draw()
                .map_err(fail)?;
        }
        area.present().map_err(fail)
    }

    /// The width of the names beside the plot.
    fn beside(&self) -> u32 {
        let longest = self.series.iter().map(|s| s.name.chars().count()).max().unwrap_or(0) as u32;
        (34 + 8 * longest).min(self.size.0 / 2)
    }
}

/// The outline of a histogram of the heights of `points`.
fn outline(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let values: Vec<f64> = points.iter().map(|p| p.1).collect();
    let Some(all) = distribution::summary(&values) else { return vec![] };
    let (low, width) =
        if all.high > all.low { (all.low, (all.high - all.low) / BINS as f64) } else { (all.low - 0.5, 1.0) };
    let counts = distribution::counts(&values, if all.high > all.low { BINS } else { 1 });
    let mut corners = vec![(low, 0.0)];
    for (i, n) in counts.iter().enumerate() {
        let (left, right) = (low + width * i as f64, low + width * (i + 1) as f64);
        corners.extend([(left, *n as f64), (right, *n as f64)]);
    }
    corners.push((low + width * counts.len() as f64, 0.0));
    corners
}

/// An axis that may say where its numbers stand.
struct Axis {
    range: RangedCoordf64,
    numbers: Option<Vec<f64>>,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.range.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match &self.numbers {
            None => self.range.key_points(hint),
            // No lines between those that have numbers.
            Some(_) if hint.weight().allow_light_points() => vec![],
            Some(numbers) => numbers.clone(),
        }
    }

    fn range(&self) -> Range<f64> {
        self.range.range()
    }
}

/// Where a logarithmic axis has its numbers: at powers of ten, and at 2 and 5 times these or at all their multiples where the
/// range is short. None if it is too short for two of them.
fn of_logarithms(range: &Range<f64>) -> Option<Vec<f64>> {
    let multiples: &[f64] = match range.end - range.start {
        width if width > 8.0 => return None,
        width if width > 3.0 => &[1.0],
        width if width > 1.0 => &[1.0, 2.0, 5.0],
        _ => &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
    };
    let powers = range.start.floor() as i32..=range.end.floor() as i32;
    let points: Vec<f64> = powers
        .flat_map(|power| multiples.iter().map(move |m| f64::from(power) + m.log10()))
        .filter(|point| range.contains(point))
        .collect();
    (points.len() > 1).then_some(points)
}

/// The range of one coordinate with some air; never empty.
fn span(shapes: &[Vec<(f64, f64)>], of: impl Fn(&(f64, f64)) -> f64, air: f64) -> Range<f64> {
    let all: Vec<f64> = shapes.iter().flatten().map(of).collect();
    let Some(all) = distribution::summary(&all) else { return 0.0..1.0 };
    let width = all.high - all.low;
    if width > 0.0 {
        return all.low - air * width..all.high + air * width;
    }
    let around = all.low.abs().max(1.0) * 0.5;
    all.low - around..all.high + around
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(drawing: Drawing, points: Vec<(f64, f64)>) -> Plot {
        Plot {
            title: "accuracy".into(),
            x_label: "epsilon".into(),
            y_label: "%".into(),
            log_y: false,
            drawing,
            size: (320, 240),
            names_beside: false,
            series: vec![Series { name: "certified".into(), points }],
        }
    }

    #[test]
    fn plots_are_drawn_in_both_formats() {
        let points = vec![(0.0, 1.0), (0.1, 0.5), (0.2, f64::NAN), (0.3, 0.1)];
        for drawing in [Drawing::Line, Drawing::Points, Drawing::Histogram] {
            let plot = plot(drawing, points.clone());
            let svg = String::from_utf8(plot.render(Format::Svg).unwrap()).unwrap();
            for word in ["<svg", "accuracy", "epsilon", "certified"] {
                assert!(svg.contains(word), "{drawing:?}: {word}");
            }
            let png = image::load_from_memory(&plot.render(Format::Png).unwrap()).unwrap().to_rgb8();
            assert_eq!(png.dimensions(), (320, 240));
            // Text is drawn: the caption has dark pixels.
            assert!(png.enumerate_pixels().any(|(_, y, p)| y < 40 && p.0[0] < 100), "{drawing:?}");
        }
    }

    #[test]
    fn axes_have_numbers_that_one_would_write() {
        let log = Plot { log_y: true, ..plot(Drawing::Line, vec![(1.0, 2.6), (2.0, 13.0), (3.0, 5.0)]) };
        let svg = String::from_utf8(log.render(Format::Svg).unwrap()).unwrap();
        let shown = |text: &str| svg.lines().any(|line| line.trim() == text);
        assert!(["3", "5", "10"].into_iter().all(shown), "{svg}");
        assert!(!["1.5", "2.5", "3.981", "6.31"].into_iter().any(shown), "{svg}");
    }

    #[test]
    fn odd_values_make_no_trouble() {
        for points in [vec![], vec![(1.0, 1.0)], vec![(0.0, 1e300), (1.0, -1e300)], vec![(0.0, f64::INFINITY)]] {
            for log_y in [false, true] {
                let plot = Plot { log_y, ..plot(Drawing::Line, points.clone()) };
                plot.render(Format::Svg).unwrap();
            }
        }
        let beside = Plot { names_beside: true, ..plot(Drawing::Line, vec![(1.0, 1.0)]) };
        let svg = String::from_utf8(beside.render(Format::Svg).unwrap()).unwrap();
        assert!(svg.contains("certified") && svg.contains("<circle"), "one point is seen: {svg}");
        assert_eq!((Format::of("a.b.PNG"), Format::of("svg")), (Some(Format::Png), None));
    }
}
