//! The part of OGR's feature styles that a drawing has: the colour of a pen or a brush, and labels.
//!
//! Source: OGR feature style specification 0.016.

use cadmill_dxf::{Color, Horizontal, Lineweight, Vertical};

/// What a feature's style says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Style {
    /// The colour of a pen, of a symbol or of a text.
    pub(super) line: Option<Color>,
    /// The colour of a brush.
    pub(super) fill: Option<Color>,
    /// The thickness of a pen, if it is given in millimetres.
    pub(super) weight: Option<Lineweight>,
    /// Fully transparent: a layer that is off or frozen.
    pub(super) is_hidden: bool,
    pub(super) label: Option<Label>,
}

/// A text at the feature's point.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Label {
    pub(super) text: String,
    /// In units of the ground, if it is given so.
    pub(super) height: Option<f64>,
    pub(super) degrees: f64,
    pub(super) at: (Horizontal, Vertical),
}

/// Reads a style.
pub(super) fn style(text: &str) -> Style {
    let mut style = Style::default();
    for tool in split(text, ';') {
        let Some((name, rest)) = tool.trim().split_once('(') else { continue };
        let parameters: Vec<(&str, String)> =
            split(rest.trim_end().trim_end_matches(')'), ',').iter().filter_map(|p| parameter(p)).collect();
        let value =
            |key: &str| parameters.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str());
        let (key, place) = match name.trim() {
            "PEN" | "LABEL" | "SYMBOL" => ("c", &mut style.line),
            "BRUSH" => ("fc", &mut style.fill),
            _ => continue,
        };
        if let Some((color, alpha)) = value(key).and_then(color_of) {
            style.is_hidden |= alpha == 0 && key == "c";
            place.get_or_insert(color);
        }
        let width = value("w").filter(|_| name.trim() == "PEN").and_then(|width| width.strip_suffix("mm"));
        if let Some(width) = width.and_then(|width| width.parse::<f64>().ok()).filter(|width| *width >= 0.0) {
            style.weight.get_or_insert(Lineweight::Hundredths((width * 100.0).round().min(211.0) as u16));
        }
        if name.trim() == "LABEL"
            && let Some(text) = value("t")
        {
            style.label = Some(Label {
                text: text.to_owned(),
                height: value("s").and_then(|size| size.strip_suffix('g')).and_then(|size| size.parse().ok()),
                degrees: value("a").and_then(|angle| angle.parse().ok()).unwrap_or(0.0),
                at: anchor(value("p").and_then(|p| p.parse().ok()).unwrap_or(1)),
            });
        }
    }
    style
}

/// Splits outside of quotation marks.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            letter if letter == separator && !quoted => {
                parts.push(&text[start..at]);
                start = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn parameter(text: &str) -> Option<(&str, String)> {
    let (key, value) = text.trim().split_once(':')?;
    let value = match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\\\"", "\""),
        None => value.to_owned(),
    };
    Some((key, value))
}

/// `#rrggbb` or `#rrggbbaa`.
fn color_of(text: &str) -> Option<(Color, u8)> {
    let (rgb, alpha) = match text.len() {
        9 => (text.get(..7)?, u8::from_str_radix(text.get(7..)?, 16).ok()?),
        _ => (text, 255),
    };
    // Colour 7 is black on white, and white on black.
    let seen = |color| if color == Color::Rgb(0, 0, 0) { Color::Index(7) } else { color };
    Color::of_hex(rgb).map(|color| (seen(color), alpha))
}

/// From the bottom left, by rows: 1 to 3 baseline, 4 to 6 middle, 7 to 9 top, 10 to 12 bottom.
fn anchor(number: u8) -> (Horizontal, Vertical) {
    let column = match number % 3 {
        1 => Horizontal::Left,
        2 => Horizontal::Center,
        _ => Horizontal::Right,
    };
    let row = match number {
        4..=6 => Vertical::Middle,
        7..=9 => Vertical::Top,
        10..=12 => Vertical::Bottom,
        _ => Vertical::Baseline,
    };
    (column, row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_text_size_angle_and_place() {
        let style = style(r#"LABEL(f:"Arial",t:"도로, \"A\"; B",s:2.5g,a:30,p:5,c:#ff0000)"#);
        let label = style.label.unwrap();
        assert_eq!(label.text, "도로, \"A\"; B");
        assert_eq!((label.height, label.degrees), (Some(2.5), 30.0));
        assert_eq!(label.at, (Horizontal::Center, Vertical::Middle));
        assert_eq!(style.line, Some(Color::Rgb(255, 0, 0)));
    }

    #[test]
    fn colours_of_pens_and_brushes() {
        assert_eq!(style("PEN(c:#00ff00,w:2px)").line, Some(Color::Rgb(0, 255, 0)));
        assert_eq!(style("PEN(c:#00ff00,w:0.5mm)").weight, Some(Lineweight::Hundredths(50)));
        assert_eq!(style("PEN(c:#00ff00,w:2px)").weight, None);
        assert_eq!(style("BRUSH(fc:#0000ff80)").fill, Some(Color::Rgb(0, 0, 255)));
        assert_eq!(style("PEN(c:#000000)").line, Some(Color::Index(7)));
        assert!(style("PEN(c:#00ff0000)").is_hidden);
        for other in ["", "@name", "PEN(c:red)", "PEN", "LABEL(t:)"] {
            assert_eq!((style(other).line, style(other).fill), (None, None), "{other}");
        }
    }
}
