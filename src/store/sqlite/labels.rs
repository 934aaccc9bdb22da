//! An SQL function for label selectors. In plain SQL each row would need `json_each` for the selector and
//! `json_extract` for its labels, which took four times as long as reading the row.

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use crate::store::Needles;

fn are_as_wanted(labels: &str, needles: &Needles) -> bool {
    needles.present.iter().all(|needle| labels.contains(needle))
        && !needles.absent.iter().any(|needle| labels.contains(needle))
        && needles.choices.iter().all(|choice| choice.iter().any(|needle| labels.contains(needle)))
}

/// Adds `labels_match(labels, selector)` to a connection.
pub(super) fn add_function(connection: &Connection) -> rusqlite::Result<()> {
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("labels_match", 2, flags, |context| {
        // Parsed once for a statement, because the selector is the same for all rows.
        let needles = context.get_or_create_aux(1, |selector| {
            serde_json::from_str::<Needles>(selector.as_str()?)
                .map_err(|err| -> Box<dyn std::error::Error + Send + Sync> { err.into() })
        })?;
        Ok(are_as_wanted(context.get_raw(0).as_str()?, &needles))
    })
}
