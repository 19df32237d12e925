//! TEXT, a line of text, and MTEXT, paragraphs.

use super::{Entities, check, check_numbers, check_size};
use crate::error::{Error, Refusal};
use crate::properties::Properties;
use crate::setup::TextStyleId;
use crate::text::{self, LONGEST, Place};
use std::io::Write;

/// Which point along a line of text lies at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Horizontal {
    /// The beginning.
    #[default]
    Left,
    /// The middle.
    Center,
    /// The end.
    Right,
}

/// Which height of a line of text lies at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Vertical {
    /// The line on which letters stand.
    #[default]
    Baseline,
    /// The lowest point of letters.
    Bottom,
    /// The middle.
    Middle,
    /// The highest point of letters.
    Top,
}

/// A label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Text<'a> {
    /// Its place.
    pub at: [f64; 3],
    /// Height of a capital letter, in units.
    pub height: f64,
    /// What it says. A text of several lines, or of more than 255 bytes, becomes an MTEXT.
    pub text: &'a str,
    /// Its font.
    pub style: TextStyleId,
    /// Degrees anticlockwise from the first axis.
    pub rotation: f64,
    /// What lies at its place along the line.
    pub horizontal: Horizontal,
    /// What lies at its place in height.
    pub vertical: Vertical,
}

/// Which point of a block of text lies at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Attachment {
    /// The left end of the first line.
    #[default]
    TopLeft,
    /// The middle of the first line.
    TopCenter,
    /// The right end of the first line.
    TopRight,
    /// The middle of the left edge.
    MiddleLeft,
    /// The middle.
    MiddleCenter,
    /// The middle of the right edge.
    MiddleRight,
    /// The left end of the last line.
    BottomLeft,
    /// The middle of the last line.
    BottomCenter,
    /// The right end of the last line.
    BottomRight,
}

/// Paragraphs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MText<'a> {
    /// Its place.
    pub at: [f64; 3],
    /// Height of a capital letter, in units.
    pub height: f64,
    /// Width at which lines wrap, in units; 0 if they do not.
    pub width: f64,
    /// What it says: plain text, whose line breaks end paragraphs.
    pub text: &'a str,
    /// Its font.
    pub style: TextStyleId,
    /// Degrees anticlockwise from the first axis.
    pub rotation: f64,
    /// What lies at its place.
    pub attachment: Attachment,
}

impl<W: Write> Entities<'_, W> {
    /// Writes a label.
    ///
    /// # Errors
    ///
    /// If it is blank or its height is not positive; see [`Entities`].
    pub fn text(&mut self, properties: &Properties<'_>, text: &Text<'_>) -> Result<(), Error> {
        check(&[text.at])?;
        check_numbers(&[text.rotation])?;
        check_size(text.height)?;
        if text::is_blank(text.text) {
            return Err(Refusal::EmptyText.into());
        }
        let before = self.report;
        let fits = !text::has_breaks(text.text) && self.encode(text.text, Place::Line);
        if !fits {
            self.report = before;
            let attachment = attachment(text.horizontal, text.vertical);
            let Text { at, height, text, style, rotation, .. } = *text;
            self.mtext(properties, &MText { at, height, width: 0.0, text, style, rotation, attachment })?;
            self.report.long_texts += 1;
            return Ok(());
        }
        if let Err(error) = self.begin("TEXT", properties, 1) {
            self.report = before;
            return Err(error);
        }
        self.sink.pairs.str(100, "AcDbText");
        self.line_of_text(text.at, text.height, text.rotation, text.style);
        let horizontal = match text.horizontal {
            Horizontal::Left => 0,
            Horizontal::Center => 1,
            Horizontal::Right => 2,
        };
        let vertical = match text.vertical {
            Vertical::Baseline => 0,
            Vertical::Bottom => 1,
            Vertical::Middle => 2,
            Vertical::Top => 3,
        };
        let pairs = &mut self.sink.pairs;
        if horizontal != 0 || vertical != 0 {
            pairs.int(72, horizontal);
            pairs.point3(11, text.at);
        }
        pairs.str(100, "AcDbText");
        if vertical != 0 {
            pairs.int(73, vertical);
        }
        self.grow(text.at);
        self.end()
    }

    /// Writes paragraphs.
    ///
    /// # Errors
    ///
    /// If they are blank, their height is not positive, or their width is negative; see [`Entities`].
    pub fn mtext(&mut self, properties: &Properties<'_>, text: &MText<'_>) -> Result<(), Error> {
        check(&[text.at])?;
        check_numbers(&[text.rotation, text.width])?;
        check_size(text.height)?;
        if text.width < 0.0 {
            return Err(Refusal::NotPositive.into());
        }
        if text::is_blank(text.text) {
            return Err(Refusal::EmptyText.into());
        }
        self.begin("MTEXT", properties, 1)?;
        let charset = self.drawing.settings.charset();
        let pairs = &mut self.sink.pairs;
        pairs.str(100, "AcDbMText");
        pairs.point3(10, text.at);
        pairs.real(40, text.height);
        pairs.real(41, text.width);
        pairs.int(71, text.attachment as i64 + 1);
        // The direction of writing is the style's.
        pairs.int(72, 5);
        text::pieces(text.text, Place::Paragraphs, charset, &mut self.report, |piece, last| {
            pairs.bytes(if last { 1 } else { 3 }, piece);
        });
        pairs.bytes(7, &self.drawing.styles[text.style.0 as usize].name);
        if text.rotation != 0.0 {
            pairs.real(50, text.rotation);
        }
        self.grow(text.at);
        self.end()
    }

    /// Encodes a text into the scratch; says whether it is the whole, which fits a value.
    pub(super) fn encode(&mut self, text: &str, place: Place) -> bool {
        let charset = self.drawing.settings.charset();
        text::encode(text, place, charset, &mut self.report, &mut self.scratch);
        self.scratch.len() <= LONGEST
    }

    /// The groups of a line of text that is encoded.
    pub(super) fn line_of_text(&mut self, at: [f64; 3], height: f64, rotation: f64, style: TextStyleId) {
        let style = &self.drawing.styles[style.0 as usize];
        let pairs = &mut self.sink.pairs;
        pairs.point3(10, at);
        pairs.real(40, height);
        pairs.bytes(1, &self.scratch);
        if rotation != 0.0 {
            pairs.real(50, rotation);
        }
        if style.value.style.width != 1.0 {
            pairs.real(41, style.value.style.width);
        }
        if style.value.style.slant != 0.0 {
            pairs.real(51, style.value.style.slant);
        }
        pairs.bytes(7, &style.name);
    }
}

fn attachment(horizontal: Horizontal, vertical: Vertical) -> Attachment {
    use Attachment::*;
    let row = match vertical {
        Vertical::Top => [TopLeft, TopCenter, TopRight],
        Vertical::Middle => [MiddleLeft, MiddleCenter, MiddleRight],
        Vertical::Bottom | Vertical::Baseline => [BottomLeft, BottomCenter, BottomRight],
    };
    row[horizontal as usize]
}
