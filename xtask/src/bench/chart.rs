//! Bar charts of the results, as SVG files that the README shows. They are light and dark at once:
//! text has the colour of the page's own.

use super::plan::ENGINES;
use super::results::{Results, median};
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::path::Path;

/// A chart: its file, its title, and its rows as group, workload and label.
type Chart = (&'static str, &'static str, &'static [(&'static str, &'static str, &'static str)]);

const CHARTS: [Chart; 2] = [
    (
        "docs/benchmarks-writes.svg",
        "Writes per second",
        &[
            ("write", "fillseq", "in key order"),
            ("write", "fillrandom", "in random order"),
            ("write", "fillbatch", "batches of 100"),
            ("write", "overwrite", "overwriting"),
            ("write2", "overwrite", "overwriting, 2 threads"),
            ("sustained", "overwritewait", "10 × cache, debt paid"),
            ("write", "deleterandom", "deletes"),
            ("sync1", "fillsync", "synced, 1 thread"),
            ("sync8", "fillsync", "synced, 8 threads"),
            ("sync32", "fillsync", "synced, 32 threads"),
        ],
    ),
    (
        "docs/benchmarks-reads.svg",
        "Reads and mixes per second",
        &[
            ("read", "readrandom", "random gets"),
            ("read2", "readrandom", "random gets, 2 threads"),
            ("read", "readmissing", "gets of missing keys"),
            ("read", "seekrandom/10", "seeks and 10 steps"),
            ("read", "seekrandom/100", "seeks and 100 steps"),
            ("read", "readseq", "scan, entries"),
            ("read", "readreverse", "scan back, entries"),
            ("mixed", "readwhilewriting", "gets beside a writer"),
            ("ycsb", "ycsba", "YCSB A, half updates"),
            ("ycsb", "ycsbb", "YCSB B, few updates"),
            ("ycsb", "ycsbd", "YCSB D, the newest"),
            ("ycsb", "ycsbe", "YCSB E, short scans"),
            ("ycsb", "ycsbf", "YCSB F, read and update"),
        ],
    ),
];

/// One for each of [`ENGINES`].
const COLOURS: [&str; 6] = ["#d9480f", "#4c6ef5", "#12b886", "#ae3ec9", "#868e96", "#fab005"];

/// The rates of a row, by engine.
type Rates = Vec<(usize, f64)>;

/// Writes the charts that have a row.
pub(crate) fn write(root: &Path, results: &Results) -> Result<()> {
    for (file, title, rows) in CHARTS {
        let rows: Vec<(&str, Rates)> = rows
            .iter()
            .map(|(group, workload, label)| (*label, rates(results, group, workload)))
            .filter(|(_, rates)| !rates.is_empty())
            .collect();
        if !rows.is_empty() {
            std::fs::write(root.join(file), draw(title, &rows))
                .with_context(|| format!("cannot write {file}"))?;
        }
    }
    Ok(())
}

fn rates(results: &Results, group: &str, workload: &str) -> Rates {
    let rate = |engine| {
        let rates =
            results.values(group, workload, engine, |row| row["operations_per_second"].as_f64());
        median(rates)
    };
    ENGINES.iter().enumerate().filter_map(|(i, engine)| Some((i, rate(engine)?))).collect()
}

const BAR: f64 = 11.0;
const LEFT: f64 = 190.0;
const WIDTH: f64 = 470.0;

fn draw(title: &str, rows: &[(&str, Rates)]) -> String {
    let mut body = String::new();
    let mut used: Vec<usize> = rows.iter().flat_map(|(_, r)| r.iter().map(|(i, _)| *i)).collect();
    used.sort_unstable();
    used.dedup();
    for (place, i) in used.iter().enumerate() {
        let x = LEFT + place as f64 * 78.0;
        let _ = writeln!(
            body,
            r#"<rect x="{x}" y="34" width="10" height="10" fill="{}"/><text x="{}" y="43">{}</text>"#,
            COLOURS[*i],
            x + 14.0,
            ENGINES[*i]
        );
    }
    let mut y = 60.0;
    for (label, rates) in rows {
        let best = rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
        let height = rates.len() as f64 * BAR;
        let _ = writeln!(
            body,
            r#"<text x="{}" y="{}" text-anchor="end">{label}</text>"#,
            LEFT - 8.0,
            y + height / 2.0 + 4.0
        );
        for (i, rate) in rates {
            let width = (rate / best * WIDTH).max(1.0);
            let _ = writeln!(
                body,
                r#"<rect x="{LEFT}" y="{y}" width="{width:.1}" height="{}" fill="{}"/><text x="{:.1}" y="{}" class="figure">{}</text>"#,
                BAR - 1.5,
                COLOURS[*i],
                LEFT + width + 4.0,
                y + BAR - 2.5,
                short(*rate)
            );
            y += BAR;
        }
        y += 9.0;
    }
    let width = LEFT + WIDTH + 70.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{y}\" viewBox=\"0 0 {width} {y}\" \
         role=\"img\" aria-label=\"{title}\">\n<style>\ntext {{ font: 12px sans-serif; fill: #24292f; }}\n\
         .figure {{ font-size: 9.5px; }}\n.title {{ font-size: 15px; font-weight: bold; }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3; }} }}\n</style>\n\
         <text x=\"8\" y=\"20\" class=\"title\">{title}</text><text x=\"{LEFT}\" y=\"20\" class=\"figure\">longer \
         is better; each row has its own scale</text>\n{body}</svg>\n"
    )
}

/// A rate in three digits.
fn short(rate: f64) -> String {
    let (number, unit) = match rate {
        ..1e3 => (rate, ""),
        ..1e6 => (rate / 1e3, " k"),
        _ => (rate / 1e6, " M"),
    };
    let digits = if number < 10.0 { 2 } else { usize::from(number < 100.0) };
    format!("{number:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_short() {
        let shorts = [7.0, 950.0, 1234.0, 45_678.0, 456_789.0, 12_345_678.0].map(short);
        assert_eq!(shorts, ["7.00", "950", "1.23 k", "45.7 k", "457 k", "12.3 M"]);
    }

    #[test]
    fn the_best_bar_has_the_whole_width_and_others_their_part() {
        let chart = draw("Title", &[("a row", vec![(0, 50.0), (1, 100.0)])]);
        assert!(chart.contains(r#"width="235.0""#), "{chart}");
        assert!(chart.contains(r#"width="470.0""#), "{chart}");
        for text in ["Title", "a row", ENGINES[0], ENGINES[1]] {
            assert!(chart.contains(text), "{text}");
        }
        assert!(!chart.contains(ENGINES[2]));
    }
}
