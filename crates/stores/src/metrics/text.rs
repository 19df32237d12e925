//! The text format of Prometheus, as the recorder renders it.

/// A line that is a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample<'a> {
    /// The name, with `_bucket`, `_sum` or `_count` for a histogram.
    pub(super) name: &'a str,
    /// The text between the braces; empty without labels.
    pub(super) labels: &'a str,
    pub(super) value: f64,
}

/// The values of a text.
pub(super) fn samples(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}')?),
            None => (series, ""),
        };
        Some(Sample { name, labels, value: value.parse().ok()? })
    })
}

/// Names and values of labels. Our values have no quotation marks and no backslashes.
pub(super) fn labels(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("\",").filter_map(|pair| {
        let (name, value) = pair.split_once("=\"")?;
        Some((name, value.strip_suffix('"').unwrap_or(value)))
    })
}

/// The families in the order of their names, and the series of each in the order of their labels: the
/// recorder has them in that of a hash table. The buckets of a series keep their order.
pub(super) fn sorted(text: &str) -> String {
    let mut families: Vec<Vec<&str>> = text
        .split("\n\n")
        .map(|family| family.lines().collect())
        .filter(|lines: &Vec<&str>| !lines.is_empty())
        .collect();
    let name = |lines: &[&str]| {
        lines.iter().find_map(|line| line.strip_prefix("# TYPE ")).unwrap_or_default().to_owned()
    };
    families.sort_by_key(|lines| name(lines));
    let mut out = String::with_capacity(text.len());
    for lines in &mut families {
        let head = lines.iter().take_while(|line| line.starts_with('#')).count();
        if !lines.iter().any(|line| line.ends_with(" histogram")) {
            lines[head..].sort_unstable();
        }
        for line in lines.iter() {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let text = "# HELP a b\n# TYPE a counter\na{x=\"1\",y=\"b/{c}\"} 3\n\n# TYPE b gauge\nb 0.5\n\n";
        let found: Vec<_> = samples(text).collect();
        let a = Sample { name: "a", labels: "x=\"1\",y=\"b/{c}\"", value: 3.0 };
        assert_eq!(found, [a, Sample { name: "b", labels: "", value: 0.5 }]);
        assert_eq!(labels(a.labels).collect::<Vec<_>>(), [("x", "1"), ("y", "b/{c}")]);
        assert_eq!(labels("").count(), 0);
    }

    #[test]
    fn families_and_series_are_in_order() {
        let text = "# TYPE b counter\nb{x=\"2\"} 1\nb{x=\"1\"} 1\n\n# TYPE a histogram\na_bucket{le=\"9\"} 1\na_sum 1\n\n";
        let expected = "# TYPE a histogram\na_bucket{le=\"9\"} 1\na_sum 1\n# TYPE b counter\nb{x=\"1\"} 1\nb{x=\"2\"} 1\n";
        assert_eq!(sorted(text), expected);
    }
}
