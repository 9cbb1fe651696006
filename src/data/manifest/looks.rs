//! The keys that say how stored values become images: their scale, and what is done to pictures that are not yet as wanted.

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// What stored values are divided by: above 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale(f64);

impl<'de> Deserialize<'de> for Scale {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // In a visitor, so that an error has this value's own line and column.
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Scale;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a number above 0, such as 255 or 1")
            }
            fn visit_f64<E: Error>(self, scale: f64) -> Result<Scale, E> {
                let is_one = scale > 0.0 && scale <= f64::from(u32::MAX);
                is_one.then_some(Scale(scale)).ok_or_else(|| E::invalid_value(Unexpected::Float(scale), &self))
            }
            fn visit_u64<E: Error>(self, scale: u64) -> Result<Scale, E> {
                self.visit_f64(scale as f64)
            }
            fn visit_i64<E: Error>(self, scale: i64) -> Result<Scale, E> {
                self.visit_f64(scale as f64)
            }
        }
        deserializer.deserialize_any(Number)
    }
}

impl Scale {
    /// The number.
    pub fn get(&self) -> f64 {
        self.0
    }

    /// The scale as one of bytes: a whole number from 1 to 255.
    pub fn byte(&self) -> Option<u8> {
        let byte = self.0 as u8;
        (f64::from(byte) == self.0 && byte > 0).then_some(byte)
    }
}

/// How a picture of another size becomes one of the wanted size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// What is beyond the wanted proportions cut off on both sides, the rest scaled.
    Crop,
    /// Scaled to the wanted height and width, whatever becomes of its proportions.
    Stretch,
    /// Scaled until it fits into the wanted size, the background on both sides.
    Pad,
    /// Not scaled: the middle is cut out, and a smaller picture is refused.
    Center,
}

impl Fit {
    /// All names, for messages.
    pub const NAMES: &str = "`crop`, `stretch`, `pad` or `center`";

    /// The one called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        [("crop", Self::Crop), ("stretch", Self::Stretch), ("pad", Self::Pad), ("center", Self::Center)]
            .into_iter()
            .find_map(|(known, fit)| (known == name).then_some(fit))
    }
}

/// What may be done to pictures, each only where it is asked for. The default: nothing.
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pictures {
    /// How pictures of another size are brought to the wanted one.
    pub fit: Option<Fit>,
    /// 1: colour becomes grey; 3: grey becomes colour.
    pub channels: Option<usize>,
    /// The colour that transparent pixels are laid over: red, green and blue.
    #[serde(deserialize_with = "colour")]
    pub background: Option<[u8; 3]>,
    /// 8: 16 bits are rounded to 8.
    pub depth: Option<usize>,
    /// Are pictures turned as their EXIF data say?
    pub exif: bool,
}

/// One number for grey, or three.
fn colour<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[u8; 3]>, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Colour {
        Grey(u8),
        Full([u8; 3]),
    }
    match Colour::deserialize(deserializer) {
        Ok(Colour::Grey(v)) => Ok(Some([v; 3])),
        Ok(Colour::Full(all)) => Ok(Some(all)),
        Err(_) => Err(D::Error::custom("a colour is a number from 0 to 255, or three: red, green, blue")),
    }
}

impl Pictures {
    /// What is wrong with it, where images have so many channels.
    pub fn check(&self, channels: usize) -> Result<(), String> {
        if let Some(n) = self.channels.filter(|n| *n != channels) {
            return Err(format!("channels: {n}; the images have {channels}"));
        }
        match self.depth {
            Some(depth) if depth != 8 => Err(format!("depth: {depth}; expected 8, to which 16 bits are rounded")),
            _ => Ok(()),
        }
    }

    /// Does a picture of 8 bits, in colour or grey, of which `wanted` channels are asked, stay as it is, but for its size?
    pub fn is_nothing_to_do(&self, is_colour: bool, wanted: usize) -> bool {
        self.fit.is_none() && !self.exif && !(is_colour && wanted == 1)
    }

    /// For people, what may be done; empty where that is nothing.
    pub fn describe(&self) -> String {
        let fit = self.fit.map(|fit| match fit {
            Fit::Crop => "scaled to cover the size, the middle cut out".to_string(),
            Fit::Stretch => "stretched to the size".into(),
            Fit::Pad => "scaled into the size, the background around".into(),
            Fit::Center => "the middle cut out".into(),
        });
        let channels = self.channels.map(|n| if n == 1 { "made grey" } else { "made colour" }.to_string());
        let background = self.background.map(|[r, g, b]| format!("laid over the colour [{r}, {g}, {b}]"));
        let depth = self.depth.map(|_| "rounded to 8 bits".to_string());
        let exif = self.exif.then(|| "turned by EXIF".to_string());
        [exif, background, depth, channels, fit].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}
