//! The timeline of a ledger as SVG: stages at the top, a bar for each file below.

use crate::markup::escape;
use cadmill_core::domain::ledger::timeline::{FileHistory, Timeline};
use std::fmt::Write;

/// Left edge and width of the time axis.
const LEFT: f64 = 150.0;
const WIDTH: f64 = 780.0;
/// Height of a row.
const ROW: usize = 15;
/// Height of the stages and of the axis.
const HEAD: usize = 34;

/// Draws the timeline; none for a ledger without files.
pub(super) fn draw(page: &mut String, story: &Timeline, most: usize) {
    let lives: Vec<_> = story.made().take(most).collect();
    if lives.is_empty() {
        return;
    }
    let height = HEAD + lives.len() * ROW + 22;
    let _ = write!(
        page,
        "<svg role=\"img\" aria-label=\"timeline of the files\" viewBox=\"0 0 960 {height}\" width=\"960\" height=\"{height}\">"
    );
    // The pattern id may occur twice on a page: it is the same pattern.
    page.push_str("<defs><pattern id=\"wiped\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><rect width=\"5\" height=\"5\" fill=\"#eaeef2\"/><rect width=\"2\" height=\"5\" fill=\"#8c959f\"/></pattern></defs>\n");
    let scale = Scale { length: story.length.max(1) as f64 };
    stages(page, story, &scale, height);
    for (row, (file, life)) in lives.iter().enumerate() {
        let label = format!("{file} {} {}", life.birth.role.as_str(), life.birth.kind.as_str());
        bar(page, &label, life, &scale, HEAD + row * ROW);
    }
    axis(page, &scale, height);
    page.push_str("</svg>\n");
}

struct Scale {
    length: f64,
}

impl Scale {
    fn x(&self, millis: u64) -> f64 {
        LEFT + WIDTH * (millis as f64 / self.length).min(1.0)
    }

    /// A rectangle at least half a pixel wide, so that none vanishes.
    fn rect(&self, page: &mut String, from: u64, to: u64, y: usize, height: usize, fill: &str) {
        let (x, end) = (self.x(from), self.x(to));
        let width = (end - x).max(0.5);
        let _ = write!(
            page,
            "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{fill}\"/>"
        );
    }
}

fn stages(page: &mut String, story: &Timeline, scale: &Scale, height: usize) {
    const TINTS: [&str; 2] = ["#f6f8fa", "#eaf2fb"];
    for (at, (stage, from, to)) in story.stages.iter().enumerate() {
        let to = to.unwrap_or(story.length);
        scale.rect(page, *from, to, 16, height - 36, TINTS[at % 2]);
        // Short stages have no room for their name.
        if scale.x(to) - scale.x(*from) > 45.0 {
            let _ =
                write!(page, "<text x=\"{:.1}\" y=\"12\">{}</text>", scale.x(*from) + 2.0, stage.as_str());
        }
    }
    page.push('\n');
}

fn bar(page: &mut String, label: &str, life: &FileHistory, scale: &Scale, y: usize) {
    let _ = write!(
        page,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
        LEFT - 8.0,
        y + 11,
        escape(label)
    );
    let end = life.gone.unwrap_or(scale.length as u64);
    let plain = life.wiped.unwrap_or(end).min(end);
    let fill = match life.gone {
        None => "#a40e26",
        Some(_) => "#0969da",
    };
    scale.rect(page, life.created, plain, y + 2, ROW - 4, fill);
    if plain < end {
        scale.rect(page, plain, end, y + 2, ROW - 4, "url(#wiped)");
    }
    page.push('\n');
}

fn axis(page: &mut String, scale: &Scale, height: usize) {
    for tick in 0..=4 {
        let millis = scale.length * f64::from(tick) / 4.0;
        let anchor = if tick == 4 { "end" } else { "start" };
        let x = LEFT + WIDTH * f64::from(tick) / 4.0;
        let _ = write!(
            page,
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{millis:.0} ms</text>",
            height - 6
        );
    }
}
