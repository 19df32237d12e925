//! Colours.

/// The colour of an entity or a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Color {
    /// That of its layer. On a layer, it is white.
    #[default]
    ByLayer,
    /// That of the block's insertion. On a layer, it is white.
    ByBlock,
    /// A number of AutoCAD's colour index from 1 to 255. Zero is [`Color::ByBlock`].
    Index(u8),
    /// Red, green and blue. Readers of R2000 and programs without true colours get the nearest index.
    Rgb(u8, u8, u8),
}

impl Color {
    /// The colour of `#rrggbb`.
    pub fn of_hex(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
        let value = u32::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
        let [_, red, green, blue] = value.to_be_bytes();
        Some(Self::Rgb(red, green, blue))
    }

    /// The value of group 62.
    pub(crate) fn index(self) -> i64 {
        match self {
            Self::ByLayer => 256,
            Self::ByBlock => 0,
            Self::Index(index) => index.into(),
            Self::Rgb(red, green, blue) => nearest([red, green, blue]).into(),
        }
    }

    /// The value of group 420.
    pub(crate) fn rgb(self) -> Option<i64> {
        match self {
            Self::Rgb(red, green, blue) => Some(u32::from_be_bytes([0, red, green, blue]).into()),
            _ => None,
        }
    }
}

/// The index whose colour is nearest, in the palette of AutoCAD's model space.
fn nearest(color: [u8; 3]) -> u8 {
    let distance = |index: &u8| -> u32 {
        palette(*index).iter().zip(color).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
    };
    // A grey stays grey.
    let [red, green, blue] = color;
    let is_grey = |index: &u8| matches!(index, 7..=9 | 250..);
    (1..=255)
        .filter(|index| red != green || green != blue || is_grey(index))
        .min_by_key(distance)
        .unwrap_or(7)
}

/// Red, green and blue of an index.
///
/// 10 to 249 are 24 hues in steps of 15 degrees. Each has five values, full and a third saturated.
fn palette(index: u8) -> [u8; 3] {
    const FIRST: [[u8; 3]; 10] = [
        [0, 0, 0],
        [255, 0, 0],
        [255, 255, 0],
        [0, 255, 0],
        [0, 255, 255],
        [0, 0, 255],
        [255, 0, 255],
        [255, 255, 255],
        [128, 128, 128],
        [192, 192, 192],
    ];
    const GREYS: [u8; 6] = [51, 80, 105, 130, 190, 255];
    const VALUES: [u16; 5] = [255, 189, 129, 104, 79];
    match index {
        0..=9 => FIRST[usize::from(index)],
        250.. => [GREYS[usize::from(index - 250)]; 3],
        _ => {
            let value = VALUES[usize::from(index % 10 / 2)];
            let least = if index % 2 == 1 { value * 2 / 3 } else { 0 };
            let step = u16::from(index / 10 - 1);
            // Of six sectors of four steps, one channel is at its most, one at its least, and one between.
            let (sector, within) = (step / 4, step % 4);
            let rising = least + (value - least) * within / 4;
            let falling = least + (value - least) * (4 - within) / 4;
            let [red, green, blue] = match sector {
                0 => [value, rising, least],
                1 => [falling, value, least],
                2 => [least, value, rising],
                3 => [least, falling, value],
                4 => [rising, least, value],
                _ => [value, least, falling],
            };
            [red as u8, green as u8, blue as u8]
        }
    }
}

/// The thickness of lines when they are plotted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Lineweight {
    /// That of its layer; on a layer, the program's default.
    #[default]
    ByLayer,
    /// That of the block's insertion; on a layer, the program's default.
    ByBlock,
    /// The program's default, usually 0.25 mm.
    Default,
    /// Hundredths of a millimetre. The nearest that the format has is written.
    Hundredths(u16),
}

impl Lineweight {
    /// What group 370 may have: AutoCAD discards drawings with others.
    pub(crate) const ALLOWED: [u16; 24] =
        [0, 5, 9, 13, 15, 18, 20, 25, 30, 35, 40, 50, 53, 60, 70, 80, 90, 100, 106, 120, 140, 158, 200, 211];

    /// The value of group 370.
    pub(crate) fn value(self) -> i64 {
        match self {
            Self::ByLayer => -1,
            Self::ByBlock => -2,
            Self::Default => -3,
            Self::Hundredths(wanted) => {
                Self::ALLOWED.into_iter().min_by_key(|weight| weight.abs_diff(wanted)).unwrap_or(25).into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_index() {
        for (rgb, index) in [
            ([255, 0, 0], 1),
            ([250, 4, 4], 1),
            ([255, 63, 0], 20),
            ([0, 0, 0], 250),
            ([255, 255, 255], 7),
            ([129, 86, 86], 15),
            ([52, 52, 52], 250),
        ] {
            assert_eq!(nearest(rgb), index, "{rgb:?}");
        }
    }

    #[test]
    fn hexadecimal() {
        assert_eq!(Color::of_hex("#Ff8800"), Some(Color::Rgb(255, 136, 0)));
        for wrong in ["ff8800", "#ff880", "#gg8800", "#+f8800", "#ff88001", "#한글"] {
            assert_eq!(Color::of_hex(wrong), None);
        }
        assert_eq!(Color::Rgb(255, 136, 0).rgb(), Some(0xff_8800));
    }

    #[test]
    fn lineweights_are_those_of_the_format() {
        for (wanted, written) in [(0, 0), (30, 30), (27, 25), (28, 30), (5000, 211)] {
            assert_eq!(Lineweight::Hundredths(wanted).value(), written);
        }
        assert_eq!(Lineweight::ByLayer.value(), -1);
    }
}
