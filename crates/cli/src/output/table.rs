//! Tables: aligned columns without lines, so that they can be read by people
//! and cut by `awk`.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// A column: its head, and on which side its cells stand.
#[derive(Clone, Copy)]
pub enum Column {
    /// Words.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

use Column::{Left, Right};

/// Renders rows under heads. Nothing is wrapped or cut: a line is a row.
pub fn render(columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let heads = columns.iter().map(|column| match column {
        Left(head) | Right(head) => *head,
    });
    let mut table = bare();
    table.set_header(heads);
    table.add_rows(rows);
    for (index, column) in columns.iter().enumerate() {
        let Some(cells) = table.column_mut(index) else { continue };
        if matches!(column, Right(_)) {
            cells.set_cell_alignment(CellAlignment::Right);
        }
    }
    finish(&mut table)
}

/// Renders facts about one thing: a name and a value a line.
pub fn facts(facts: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut table = bare();
    table.add_rows(facts.into_iter().map(|(name, value)| vec![name.to_owned(), value]));
    finish(&mut table)
}

fn bare() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.force_no_tty();
    table
}

fn finish(table: &mut Table) -> String {
    for index in 0..table.column_count() {
        if let Some(cells) = table.column_mut(index) {
            cells.set_padding((0, 2));
        }
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests;
