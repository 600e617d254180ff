//! Prometheus text as figures: what a store says of itself, and what changed between two readings.

use std::collections::BTreeMap;

/// One reading: every series by its name and its labels as they stood.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) series: BTreeMap<String, f64>,
}

impl Figures {
    /// What the text says; lines that are no series of this store's are left out, and so are those that
    /// would do something to a terminal.
    pub(super) fn parse(text: &str) -> Figures {
        let shown = |line: &&str| line.starts_with("kv_") && !line.contains(char::is_control);
        let lines = text.lines().filter(shown);
        Figures { series: lines.filter_map(series).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    pub(super) fn get(&self, name: &str) -> f64 {
        self.series.get(name).copied().unwrap_or(0.0)
    }

    /// Series of this name by the value of a label.
    pub(super) fn by_label<'a>(
        &'a self,
        name: &str,
        label: &str,
    ) -> impl Iterator<Item = (&'a str, f64)> {
        let (begin, wanted) = (format!("{name}{{"), format!("{label}=\""));
        let found = self.series.range(begin.clone()..);
        let found = found.take_while(move |(series, _)| series.starts_with(&begin));
        found.filter_map(move |(series, value)| {
            let at = series.find(&wanted)? + wanted.len();
            Some((series.get(at..)?.split('"').next()?, *value))
        })
    }

    pub(super) fn of(&self, name: &str, label: &str, value: &str) -> f64 {
        self.by_label(name, label).find(|(found, _)| *found == value).map_or(0.0, |(_, n)| n)
    }

    /// The buckets of an operation's histogram: their upper ends and how many are below.
    fn buckets(&self, operation: &str) -> Vec<(f64, f64)> {
        let (name, wanted) = ("kv_operation_seconds_bucket{", format!("operation=\"{operation}\""));
        let found = self.series.range(name.to_owned()..);
        let found = found.take_while(|(series, _)| series.starts_with(name));
        let mut buckets: Vec<(f64, f64)> = found
            .filter(|(series, _)| series.contains(&wanted))
            .filter_map(|(series, &count)| {
                let end = series.split("le=\"").nth(1)?.split('"').next()?;
                Some((if end == "+Inf" { f64::INFINITY } else { end.parse().ok()? }, count))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        buckets
    }
}

/// A line's series and its value; a moment may stand behind it.
fn series(line: &str) -> Option<(String, f64)> {
    let end = line.rfind('}').map_or_else(|| line.find(' '), |brace| Some(brace + 1))?;
    let value = line.get(end..)?.split_whitespace().next()?;
    Some((line.get(..end)?.to_owned(), value.parse().ok()?))
}

/// Two readings and the seconds between them; only the second where nothing came before.
pub(super) struct Between<'a> {
    pub(super) now: &'a Figures,
    before: Option<(&'a Figures, f64)>,
}

impl<'a> Between<'a> {
    pub(super) fn new(now: &'a Figures, before: Option<(&'a Figures, f64)>) -> Between<'a> {
        // Counters that fell are those of another process.
        let same = |before: &Figures| {
            [
                "kv_writes_total",
                "kv_log_bytes_total",
                "kv_cache_hits_total",
                "kv_cache_misses_total",
            ]
            .iter()
            .all(|name| now.get(name) >= before.get(name))
        };
        let before = before.filter(|(before, seconds)| *seconds > 0.0 && same(before));
        Between { now, before }
    }

    /// How much a counter grew in a second.
    pub(super) fn rate(&self, name: &str) -> Option<f64> {
        let (before, seconds) = self.before?;
        Some((self.now.get(name) - before.get(name)).max(0.0) / seconds)
    }

    pub(super) fn rate_of(&self, name: &str, label: &str, value: &str) -> Option<f64> {
        let (before, seconds) = self.before?;
        let grown = self.now.of(name, label, value) - before.of(name, label, value);
        Some(grown.max(0.0) / seconds)
    }

    /// How much a counter grew; since the store was opened where nothing came before.
    pub(super) fn grown(&self, name: &str) -> f64 {
        let before = self.before.map_or(0.0, |(before, _)| before.get(name));
        (self.now.get(name) - before).max(0.0)
    }

    /// How long operations took, of those between the readings; `None` where there were none.
    pub(super) fn quantiles<const N: usize>(
        &self,
        operation: &str,
        shares: [f64; N],
    ) -> Option<[f64; N]> {
        let mut buckets = self.now.buckets(operation);
        if let Some((before, _)) = self.before {
            for ((_, count), (_, old)) in buckets.iter_mut().zip(before.buckets(operation)) {
                *count = (*count - old).max(0.0);
            }
        }
        buckets.last().filter(|(_, count)| *count > 0.0)?;
        Some(shares.map(|share| quantile(&buckets, share)))
    }
}

/// Where in a histogram a share of all operations is reached; within a bucket by proportion.
fn quantile(buckets: &[(f64, f64)], share: f64) -> f64 {
    let total = buckets.last().map_or(0.0, |(_, count)| *count);
    let rank = total * share;
    let mut below = (0.0, 0.0);
    for &(end, count) in buckets {
        if count >= rank && count > below.1 {
            if end.is_infinite() {
                return below.0;
            }
            return below.0 + (end - below.0) * (rank - below.1) / (count - below.1);
        }
        below = (end, count);
    }
    below.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP kv_writes_total Operations written.
# TYPE kv_writes_total counter
kv_writes_total 100
other_total 5
kv_log_bytes_total 1000 1700000000000
kv_level_bytes{level=\"0\"} 10
kv_level_bytes{instance=\"a b\",level=\"1\"} 20.5
kv_operation_seconds_bucket{operation=\"get\",le=\"0.001\"} 50
kv_operation_seconds_bucket{operation=\"get\",le=\"0.002\"} 100
kv_operation_seconds_bucket{operation=\"get\",le=\"+Inf\"} 100
kv_operation_seconds_bucket{operation=\"write\",le=\"+Inf\"} 0
kv_broken
";

    #[test]
    fn text_becomes_figures() {
        let figures = Figures::parse(TEXT);
        assert_eq!(figures.get("kv_writes_total"), 100.0);
        assert_eq!(figures.get("kv_log_bytes_total"), 1000.0);
        assert_eq!(figures.get("other_total"), 0.0);
        let mut levels: Vec<_> = figures.by_label("kv_level_bytes", "level").collect();
        levels.sort_by(|a, b| a.0.cmp(b.0));
        assert_eq!(levels, [("0", 10.0), ("1", 20.5)]);
        assert!(Figures::parse("<html>kv_</html>").is_empty());
        // Names go to the terminal as they are.
        let bell =
            "kv_operation_seconds_count{operation=\"\u{1b}]0;x\u{7}\"} 1\nkv_writes_total\t1";
        assert_eq!(Figures::parse(bell).series.len(), 0);
    }

    #[test]
    fn quantiles_are_those_of_the_time_between() {
        let before = Figures::parse(TEXT);
        let alone = Between::new(&before, None);
        assert_eq!(alone.quantiles("get", [0.5, 0.75, 1.0]), Some([0.001, 0.0015, 0.002]));
        assert_eq!(alone.quantiles("write", [0.5]), None);
        assert_eq!((alone.rate("kv_writes_total"), alone.grown("kv_writes_total")), (None, 100.0));
        let text =
            TEXT.replace("0.002\"} 100", "0.002\"} 200").replace("+Inf\"} 100", "+Inf\"} 200");
        let now = Figures::parse(&text.replace("writes_total 100", "writes_total 300"));
        let between = Between::new(&now, Some((&before, 2.0)));
        assert_eq!(between.quantiles("get", [0.0, 0.5]), Some([0.001, 0.0015]));
        assert_eq!(between.rate("kv_writes_total"), Some(100.0));
        // The other way round it is a store that was opened anew.
        assert_eq!(Between::new(&before, Some((&now, 2.0))).rate("kv_writes_total"), None);
    }
}
