//! Images in text: two pixels above one another in each character where there are colours, shades where there are none; and as a PNG.

use super::screen::Screen;

const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];

/// An image, red, green and blue from 0 to 1 for each pixel, row by row.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// The pixels.
    pub pixels: Vec<[f64; 3]>,
}

impl Picture {
    /// From the values of a tensor [channels, height, width]; one channel is grey.
    pub fn planes(values: &[f64], channels: usize, height: usize, width: usize) -> Self {
        let plane = |c: usize, i: usize| values[c.min(channels - 1) * height * width + i].clamp(0.0, 1.0);
        let pixels = (0..height * width).map(|i| [plane(0, i), plane(1, i), plane(2, i)]).collect();
        Self { width, height, pixels }
    }

    fn at(&self, x: usize, y: usize) -> [f64; 3] {
        if y < self.height { self.pixels[y * self.width + x] } else { [0.0; 3] }
    }
}

/// Pictures in a row of a PNG, the pixels between them, and how many pixels a picture has at least, so that a small one is seen.
const IN_ROW: usize = 8;
const GAP: usize = 6;
const SEEN: usize = 64;

/// Pictures of one size side by side, eight in a row, as the bytes of a PNG; pixels of small ones are squares.
pub fn png(list: &[Picture]) -> Result<Vec<u8>, String> {
    let first = list.first().ok_or("there are no images")?;
    let scale = SEEN.div_ceil(first.width.max(first.height).max(1));
    let (width, height) = (first.width * scale, first.height * scale);
    let (columns, rows) = (list.len().min(IN_ROW), list.len().div_ceil(IN_ROW));
    let whole = |count: usize, one: usize| (count * one + (count - 1) * GAP) as u32;
    let mut image = image::RgbaImage::new(whole(columns, width), whole(rows, height));
    for (n, picture) in list.iter().enumerate() {
        let (left, top) = ((n % IN_ROW) * (width + GAP), (n / IN_ROW) * (height + GAP));
        for (x, y) in (0..width).flat_map(|x| (0..height).map(move |y| (x, y))) {
            let [r, g, b] = picture.at(x / scale, y / scale).map(|value| (value * 255.0).round() as u8);
            image.put_pixel((left + x) as u32, (top + y) as u32, image::Rgba([r, g, b, 255]));
        }
    }
    let mut out = std::io::Cursor::new(vec![]);
    image.write_to(&mut out, image::ImageFormat::Png).map_err(|e| e.to_string())?;
    Ok(out.into_inner())
}

/// Pictures of one size side by side, as many as fit, in rows.
pub fn pictures(list: &[Picture], screen: Screen) -> Vec<String> {
    let Some(first) = list.first() else { return vec![] };
    let per_pixel = if screen.colours || first.width > screen.width / 2 { 1 } else { 2 };
    let step = (first.width * per_pixel).div_ceil(screen.width.max(1)).max(1);
    let columns = first.width.div_ceil(step) * per_pixel;
    let in_row = ((screen.width + 1) / (columns + 1)).max(1);
    let mut lines = vec![];
    for (number, row) in list.chunks(in_row).enumerate() {
        if number > 0 {
            lines.push(String::new());
        }
        let drawn: Vec<Vec<String>> = row.iter().map(|picture| drawn(picture, step, per_pixel, screen)).collect();
        for line in 0..drawn[0].len() {
            lines.push(drawn.iter().map(|picture| picture[line].as_str()).collect::<Vec<_>>().join(" "));
        }
    }
    lines
}

fn drawn(picture: &Picture, step: usize, per_pixel: usize, screen: Screen) -> Vec<String> {
    let columns = || (0..picture.width).step_by(step);
    if screen.colours {
        let byte = |x: f64| (x * 255.0).round() as u8;
        let cell = |x: usize, y: usize| {
            let ([a, b, c], [d, e, f]) = (picture.at(x, y).map(byte), picture.at(x, y + step).map(byte));
            format!("\x1b[38;2;{a};{b};{c}m\x1b[48;2;{d};{e};{f}m▀")
        };
        let rows = (0..picture.height).step_by(2 * step);
        return rows.map(|y| columns().map(|x| cell(x, y)).collect::<String>() + "\x1b[0m").collect();
    }
    // A character is twice as high as it is wide.
    let rows = (0..picture.height).step_by(if per_pixel == 2 { step } else { 2 * step });
    let shade = |x: usize, y: usize| {
        let [r, g, b] = picture.at(x, y);
        let grey = 0.299 * r + 0.587 * g + 0.114 * b;
        SHADES[(grey * 4.0).round() as usize].to_string().repeat(per_pixel)
    };
    rows.map(|y| columns().map(|x| shade(x, y)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_and_coloured_pictures_are_drawn() {
        let picture = Picture::planes(&[0.0, 1.0, 0.5, 0.0], 1, 2, 2);
        assert_eq!(pictures(&[picture.clone(), picture.clone()], Screen::PLAIN), ["  ██   ██", "▒▒   ▒▒  "]);
        let coloured = pictures(&[picture], Screen { width: 40, colours: true });
        assert_eq!(coloured.len(), 1);
        assert!(coloured[0].starts_with("\x1b[38;2;0;0;0m\x1b[48;2;128;128;128m▀"), "{coloured:?}");
    }

    #[test]
    fn wide_pictures_are_thinned() {
        let picture = Picture::planes(&vec![1.0; 3 * 64 * 64], 3, 64, 64);
        let lines = pictures(&[picture], Screen { width: 40, colours: false });
        assert!(lines.iter().all(|line| line.chars().count() <= 40), "{lines:?}");
    }
}
