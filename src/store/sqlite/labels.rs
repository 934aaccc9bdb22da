//! A function of SQL for label selectors. In SQL alone, each row would have to go through a selector by
//! `json_each` and through its labels by `json_extract`: that took four times as long as reading the row.

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use crate::store::Needles;

fn are_as_wanted(labels: &str, needles: &Needles) -> bool {
    needles.present.iter().all(|needle| labels.contains(needle))
        && !needles.absent.iter().any(|needle| labels.contains(needle))
        && needles.choices.iter().all(|choice| choice.iter().any(|needle| labels.contains(needle)))
}

/// Adds `labels_match(labels, selector)` to the functions of this connection.
pub(super) fn add_function(connection: &Connection) -> rusqlite::Result<()> {
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("labels_match", 2, flags, |context| {
        // Read once for a statement, for the selector is the same for all rows.
        let needles = context.get_or_create_aux(1, |selector| {
            serde_json::from_str::<Needles>(selector.as_str()?)
                .map_err(|err| -> Box<dyn std::error::Error + Send + Sync> { err.into() })
        })?;
        Ok(are_as_wanted(context.get_raw(0).as_str()?, &needles))
    })
}
