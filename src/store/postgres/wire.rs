//! Conversions between the program and the server: statement texts, values, columns.

use std::fmt::Write;

use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::store::StoreError;
use crate::store::statement::{Cell, Named, Value};

/// A statement's text for PostgreSQL, with `$1`, `$2`, … for its `:name`s, and the names in that order.
/// Removes comments, leading `--pg ` markers, and lines that end with `--sqlite`.
pub(in crate::store) fn numbered(text: &str) -> (String, Vec<&str>) {
    let (mut numbered, mut names) = (String::with_capacity(text.len()), Vec::new());
    for line in text.lines().filter(|line| !line.ends_with("--sqlite")) {
        let line = line.strip_prefix("--pg ").unwrap_or(line);
        let mut rest = line.split("--").next().unwrap_or_default();
        while let Some(colon) = rest.find(':') {
            let (before, after) = (&rest[..colon], &rest[colon + 1..]);
            let is_part = |character: char| character.is_ascii_lowercase() || character == '_';
            let length = after.find(|character| !is_part(character)).unwrap_or(after.len());
            let name = &after[..length];
            let number = names.iter().position(|known| *known == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            });
            numbered.push_str(before);
            numbered.push_str(&format!("${}", number + 1));
            rest = &after[length..];
        }
        numbered.push_str(rest);
        numbered.push('\n');
    }
    (numbered, names)
}

/// PostgreSQL texts cannot hold a NUL, which clients may send. NUL is written as this character and a `0`,
/// and this character is doubled. It is the control character SUBSTITUTE.
const ESCAPE: char = '\u{1a}';

pub(in crate::store) fn encoded(text: &str) -> String {
    text.replace(ESCAPE, "\u{1a}\u{1a}").replace('\0', "\u{1a}0")
}

fn decoded(text: &str) -> String {
    let (mut decoded, mut characters) = (String::with_capacity(text.len()), text.chars());
    while let Some(character) = characters.next() {
        decoded.push(match character {
            ESCAPE if characters.next() == Some('0') => '\0',
            other => other,
        });
    }
    decoded
}

/// Sets of values for a batched statement: a JSON array of objects, numbered by `n`.
pub(super) fn rows_json<'a>(sets: impl Iterator<Item = &'a [Named<'a>]>) -> String {
    let mut rows = String::from("[");
    for (number, set) in sets.enumerate() {
        let separator = if number == 0 { "" } else { "," };
        let _ = write!(rows, "{separator}{{\"n\":{number}");
        for (name, value) in set {
            rows.push_str(",\"");
            rows.push_str(name);
            rows.push_str("\":");
            match value {
                Value::Null => rows.push_str("null"),
                Value::Int(int) => _ = write!(rows, "{int}"),
                Value::Text(text) => push_json(&mut rows, text),
            }
        }
        rows.push('}');
    }
    rows.push(']');
    rows
}

/// Appends a text as JSON, with NULs as in [`encoded`].
fn push_json(json: &mut String, text: &str) {
    json.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
        let (before, after) = rest.split_at(at);
        json.push_str(before);
        let mut characters = after.chars();
        match characters.next() {
            Some('\0') => json.push_str("\\u001a0"),
            Some(ESCAPE) => json.push_str("\\u001a\\u001a"),
            Some(quoted @ ('"' | '\\')) => json.extend(['\\', quoted]),
            Some(control) => _ = write!(json, "\\u{:04x}", u32::from(control)),
            None => {}
        }
        rest = characters.as_str();
    }
    json.push_str(rest);
    json.push('"');
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match (self, ty) {
            (Self::Null, _) => Ok(IsNull::Yes),
            (Self::Int(number), &Type::BOOL) => (*number != 0).to_sql(ty, out),
            (Self::Int(number), _) => number.to_sql(ty, out),
            (Self::Text(text), _) if text.contains(['\0', ESCAPE]) => encoded(text).to_sql(&Type::TEXT, out),
            (Self::Text(text), _) => text.to_sql(&Type::TEXT, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::BOOL | Type::TEXT | Type::JSON)
    }

    to_sql_checked!();
}

pub(in crate::store) fn cell_of(row: &tokio_postgres::Row, index: usize) -> Result<Cell<'_>, StoreError> {
    row.try_get(index).map_err(|_| StoreError::Bug(format!("column {index} has an unexpected type")))
}

impl<'a> FromSql<'a> for Cell<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match *ty {
            Type::INT8 => Cell::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Cell::Int(i32::from_sql(ty, raw)?.into()),
            Type::BOOL => Cell::Int(bool::from_sql(ty, raw)?.into()),
            _ => match <&str>::from_sql(&Type::TEXT, raw)? {
                text if text.contains(ESCAPE) => Cell::Decoded(decoded(text)),
                text => Cell::Text(text),
            },
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Cell::Null)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::INT4 | Type::BOOL | Type::TEXT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_any_character_is_returned_unchanged() {
        for text in ["", "a\0b", "\u{1a}", "\u{1a}0", "\0\u{1a}\u{1a}0\0", "plain"] {
            assert!(!encoded(text).contains('\0'));
            assert_eq!(decoded(&encoded(text)), text);
        }
    }

    #[test]
    fn sets_of_values_become_numbered_objects() {
        let values: [&[Named<'_>]; 2] =
            [&[("id", Value::Int(7)), ("name", Value::Text("a\"b\0"))], &[("id", Value::Null)]];
        let rows = rows_json(values.into_iter());
        assert_eq!(rows, r#"[{"n":0,"id":7,"name":"a\"b\u001a0"},{"n":1,"id":null}]"#);
    }

    #[test]
    fn texts_are_written_as_any_reader_of_json_expects() {
        for text in ["", "plain", "\"\\/\u{8}\n\r\t\u{7f}\u{1f}", "a\0b\u{1a}", "ü€😀\u{2028}"] {
            let mut json = String::new();
            push_json(&mut json, text);
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), encoded(text));
        }
    }

    #[test]
    fn names_become_numbers_and_comments_are_removed() {
        let (text, names) = numbered("-- Of :nobody.\nSELECT :id, :now -- :never\n WHERE id = :id;");
        assert_eq!(text, "\nSELECT $1, $2 \n WHERE id = $1;\n");
        assert_eq!(names, ["id", "now"]);
        let text = "SELECT 1\n--pg  WHERE :id = 1 -- one\n WHERE 1 --sqlite\n;";
        assert_eq!(numbered(text).0, "SELECT 1\n WHERE $1 = 1 \n;\n");
    }
}
