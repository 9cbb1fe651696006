//! Plots as files: lines, points or bars over labelled axes, SVG or PNG by the file's ending. plotters draws; the font is in
//! the program, so that a plot looks the same everywhere.

use super::axis::{Axis, span};
use super::curve::Series;
use super::marks;
use super::screen::short;
pub use super::shapes::Drawing;
use super::shapes::Shapes;
use super::table::clipped;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use std::sync::Once;

/// One plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Above it; may be empty.
    pub title: String,
    /// Below the x axis; may be empty.
    pub x_label: String,
    /// Beside the y axis; may be empty.
    pub y_label: String,
    /// Is the x axis logarithmic? Points that are not above 0 are left out then.
    pub log_x: bool,
    /// Is the y axis logarithmic?
    pub log_y: bool,
    /// Are the values shares of a whole, in per cent? The y axis is from 0 to 100 then.
    pub whole: bool,
    /// How the values are drawn.
    pub drawing: Drawing,
    /// Width and height in pixels, without names below.
    pub size: (u32, u32),
    /// Do the names stand below the plot? Else they lie on it.
    pub names_below: bool,
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

/// A name below the plot: the number of its series, where it stands, its text.
type Name = (usize, (u32, u32), String);
/// The height of a line of names, the width of a letter at the most, the air beside them.
const LINE: u32 = 20;
const LETTER: u32 = 8;
const MARGIN: u32 = 16;
/// How many lines have colours of their own.
pub const TOLD_APART: usize = COLOURS.len();
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

/// Of many runs in one colour, so many lines have marks.
const LINES_MARKED: usize = 3;

/// A mark's corners around a place.
fn moved(mark: marks::Mark, (x, y): (i32, i32)) -> marks::Mark {
    mark.into_iter().map(|(a, b)| (a + x, b + y)).collect()
}

impl Plot {
    /// The plot as the bytes of a file.
    pub fn render(&self, format: Format) -> Result<Vec<u8>, String> {
        static FONT: Once = Once::new();
        FONT.call_once(|| {
            // Fails only for bytes that are no font.
            let _ = register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular());
        });
        let names = self.names_below();
        let (width, height) = (self.size.0, self.size.1 + names.last().map_or(0, |(_, (_, y), _)| y + LINE));
        match format {
            Format::Svg => {
                let mut text = String::new();
                self.draw(&SVGBackend::with_string(&mut text, (width, height)).into_drawing_area(), &names)?;
                Ok(text.into_bytes())
            }
            Format::Png => {
                let mut bytes = vec![0; 3 * width as usize * height as usize];
                self.draw(&BitMapBackend::with_buffer(&mut bytes, (width, height)).into_drawing_area(), &names)?;
                let image = image::RgbImage::from_raw(width, height, bytes).ok_or("the picture has a wrong size")?;
                let mut out = std::io::Cursor::new(vec![]);
                image.write_to(&mut out, image::ImageFormat::Png).map_err(|e| e.to_string())?;
                Ok(out.into_inner())
            }
        }
    }

    /// What is drawn; of a logarithmic axis the logarithms.
    fn shapes(&self, series: &Series) -> Shapes {
        let place = |value: f64, log: bool| if log { value.log10() } else { value };
        let points = series.points.iter().map(|(x, y)| (place(*x, self.log_x), place(*y, self.log_y)));
        Shapes::of(self.drawing, &points.collect::<Vec<_>>())
    }

    /// Draw it all, with `names` below.
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, names: &[Name]) -> Result<(), String> {
        let fail = |e: DrawingAreaErrorKind<B::ErrorType>| format!("the plot cannot be drawn: {e}");
        let shapes: Vec<Shapes> = self.series.iter().map(|series| self.shapes(series)).collect();
        let points = || shapes.iter().flat_map(Shapes::points);
        let bars = self.drawing == Drawing::Histogram;
        let air = if self.drawing == Drawing::Means { 0.06 } else { 0.0 };
        let (x, y) = (span(points().map(|p| p.0), air), span(points().map(|p| p.1), 0.04));
        let y = match () {
            () if self.whole => 0.0..100.0,
            () if bars => 0.0..y.end,
            () => y,
        };
        area.fill(&WHITE).map_err(fail)?;
        let (area, below) = area.split_vertically(self.size.1);
        let mut builder = ChartBuilder::on(&area);
        builder.margin(14).x_label_area_size(46).y_label_area_size(66);
        if !self.title.is_empty() {
            // Smaller where it would not fit, then cut.
            let length = self.title.chars().count().max(1) as u32;
            let size = (self.size.0 * 20 / (11 * length)).clamp(14, 20);
            builder.caption(clipped(&self.title, (self.size.0 * 20 / (11 * size)) as usize), ("sans-serif", size));
        }
        let whole = points().all(|p| p.0.fract() == 0.0);
        let most = (self.size.0 as usize / 65).clamp(2, 11);
        let x_labels = if whole && !bars { (x.end - x.start).min(10.0) as usize + 1 } else { most }.clamp(2, most + 1);
        let axis = |range, log, most| if log { Axis::of_logarithms(range, most) } else { Axis::new(range) };
        let mut x_axis = axis(x, self.log_x, most);
        if self.drawing == Drawing::Means {
            x_axis = x_axis.with_numbers_at(points().map(|p| p.0).collect());
        }
        let mut chart = builder.build_cartesian_2d(x_axis, axis(y, self.log_y, 10)).map_err(fail)?;
        let tick = |log: bool| move |value: &f64| short(if log { 10f64.powf(*value) } else { *value });
        chart
            .configure_mesh()
            .max_light_lines(0)
            .bold_line_style(RGBColor(225, 225, 225))
            .label_style(("sans-serif", 13))
            .axis_desc_style(("sans-serif", 15))
            .x_labels(x_labels)
            .x_desc(&self.x_label)
            .y_desc(&self.y_label)
            .x_label_formatter(&tick(self.log_x))
            .y_label_formatter(&tick(self.log_y))
            .draw()
            .map_err(fail)?;
        // One line needs no mark to be told from others.
        let marked = self.is_marked();
        for (i, (series, drawn)) in self.series.iter().zip(shapes).enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            let name = series.name.clone();
            let at = move |place: (f64, f64)| EmptyElement::at(place) + Polygon::new(marks::mark(i), colour.filled());
            let legend = move |(x, y)| {
                let corners = if marked { marks::mark(i) } else { vec![(-7, -4), (7, -4), (7, 4), (-7, 4)] };
                Polygon::new(moved(corners, (x + 7, y)), colour.filled())
            };
            let on_lines =
                drawn.lines.iter().take(LINES_MARKED).flat_map(|line| marks::places(line, i, self.series.len()));
            let places: Vec<(f64, f64)> = if marked { on_lines.collect() } else { vec![] };
            chart.draw_series(places.into_iter().map(at)).map_err(fail)?;
            let areas = drawn.areas.into_iter().map(|area| Polygon::new(area, colour.mix(0.55).filled()));
            chart.draw_series(areas).map_err(fail)?;
            let lines = drawn.lines.into_iter().map(|line| PathElement::new(line, colour.stroke_width(2)));
            chart.draw_series(lines).map_err(fail)?;
            let anno = chart.draw_series(drawn.dots.into_iter().map(at)).map_err(fail)?;
            if !name.is_empty() {
                anno.label(name).legend(legend);
            }
        }
        for (i, (x, y), name) in names {
            let (x, y, colour) = (*x as i32, *y as i32, COLOURS[i % COLOURS.len()]);
            let key = [(x, y + 3), (x + 14, y + 3), (x + 14, y + 5), (x, y + 5)].to_vec();
            below.draw(&Polygon::new(key, colour.filled())).map_err(fail)?;
            if marked {
                below.draw(&Polygon::new(moved(marks::mark(*i), (x + 7, y + 4)), colour.filled())).map_err(fail)?;
            }
            below.draw(&Text::new(name.clone(), (x + 20, y - 2), ("sans-serif", 13))).map_err(fail)?;
        }
        if !self.names_below && self.series.iter().any(|series| !series.name.is_empty()) {
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

    /// Have the series marks of their own? Bars have none, and one line needs none.
    fn is_marked(&self) -> bool {
        self.series.len() > 1 && self.drawing != Drawing::Histogram
    }

    /// The names below the plot, in as many lines as they take.
    fn names_below(&self) -> Vec<Name> {
        let (left, right) = (MARGIN, self.size.0.saturating_sub(MARGIN).max(MARGIN + 34));
        let (mut names, mut x, mut y) = (vec![], left, 4);
        let series = self.series.iter().enumerate().filter(|(_, series)| self.names_below && !series.name.is_empty());
        for (i, series) in series {
            let name = clipped(&series.name, ((right - left - 20) / LETTER) as usize);
            let width = 20 + LETTER * name.chars().count() as u32;
            if x > left && x + width > right {
                (x, y) = (left, y + LINE);
            }
            names.push((i, (x, y), name));
            x += width + 16;
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(drawing: Drawing, points: Vec<(f64, f64)>) -> Plot {
        Plot {
            title: "accuracy".into(),
            x_label: "epsilon".into(),
            y_label: "%".into(),
            log_x: false,
            log_y: false,
            whole: false,
            drawing,
            size: (320, 240),
            names_below: false,
            series: vec![Series { name: "certified".into(), points }],
        }
    }

    #[test]
    fn plots_are_drawn_in_both_formats() {
        let points = vec![(0.0, 1.0), (0.1, 0.5), (0.2, f64::NAN), (0.3, 0.1)];
        for drawing in [Drawing::Line, Drawing::Lines, Drawing::Means, Drawing::Points, Drawing::Histogram] {
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
            for (log, drawing) in [(false, Drawing::Line), (true, Drawing::Lines), (true, Drawing::Means)] {
                let plot = Plot { log_x: log, log_y: log, ..plot(drawing, points.clone()) };
                plot.render(Format::Svg).unwrap();
            }
        }
        let below = Plot { names_below: true, ..plot(Drawing::Line, vec![(1.0, 1.0)]) };
        let svg = String::from_utf8(below.render(Format::Svg).unwrap()).unwrap();
        assert!(svg.contains("certified") && svg.contains("<polygon"), "one point is seen: {svg}");
        let long =
            Plot { title: "t".repeat(400), series: vec![Series { name: "n".repeat(400), points: vec![] }], ..below };
        let svg = String::from_utf8(long.render(Format::Svg).unwrap()).unwrap();
        assert!(svg.contains("nn…") && svg.contains("tt…"), "what is too long says so: {svg}");
        let series: Vec<Series> = (0..9).map(|i| Series { name: format!("setting {i}"), points: vec![] }).collect();
        let many = Plot { series, ..long };
        let names = many.names_below();
        assert_eq!((names[1].1, names[2].1, names[8].1), ((124, 4), (16, 24), (16, 84)), "two fit beside each other");
        assert!(String::from_utf8(many.render(Format::Svg).unwrap()).unwrap().contains("height=\"344\""));
        assert_eq!((Format::of("a.b.PNG"), Format::of("svg")), (Some(Format::Png), None));
    }
}
