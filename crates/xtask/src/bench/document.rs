//! The documents, written from what the sections measured.

use std::fmt::Write;

use super::report::{Section, Table};

const ABOUT: &str = "Figures are for comparison within one table: same machine, same disk, same run. They are not tests, \
and another machine gives others.\n\n";

/// A whole document; its samples are in the file `samples` beside it.
pub fn document(name: &str, samples: &str, sections: &[Section]) -> String {
    let mut out = format!(
        "# Benchmarks: {name}\n\nWritten by `cargo xtask bench {name}`; do not edit. Every sample \
         is in `docs/{samples}`. {ABOUT}"
    );
    out.push_str("## Targets\n\n");
    out.push_str(&verdicts(sections));
    for section in sections {
        let _ = write!(out, "\n## {}\n\n", section.title);
        for text in &section.text {
            let _ = write!(out, "{text}\n\n");
        }
        for one in &section.tables {
            let _ =
                write!(out, "{}:\n\n{}\n", capital(&one.caption), table(&one.header, &one.rows));
        }
        let stamp = &section.stamp;
        let _ = writeln!(
            out,
            "`{}`, {}, commit {}, {}; load before it {}; took {:.0} s.",
            stamp.command, stamp.date, stamp.commit, stamp.machine, stamp.load, stamp.seconds
        );
    }
    out
}

/// All targets, those that were missed by name again below.
fn verdicts(sections: &[Section]) -> String {
    let mut all = Table::new("", &["what", "target", "measured", "met"]);
    let mut missed = Vec::new();
    for target in sections.iter().flat_map(|section| &section.targets) {
        let met = if target.met { "yes" } else { "**no**" };
        all.row([target.what.clone(), target.wanted.clone(), target.got.clone(), met.to_owned()]);
        if !target.met {
            missed.push(target.what.as_str());
        }
    }
    let mut out = table(&all.header, &all.rows);
    let _ = match missed.len() {
        0 => writeln!(out, "\nAll are met."),
        count => writeln!(out, "\n{count} missed: {}.", missed.join("; ")),
    };
    out
}

/// A table in Markdown. The first column is text, all others are figures.
fn table(header: &[String], rows: &[Vec<String>]) -> String {
    let mut out = line(header);
    let rule: Vec<String> = (0..header.len())
        .map(|at| if at == 0 { "---".to_owned() } else { "---:".to_owned() })
        .collect();
    out.push_str(&line(&rule));
    for row in rows {
        out.push_str(&line(row));
    }
    out
}

fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests;
