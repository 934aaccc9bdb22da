//! The style sheet and the script. Both are in the binary. Their names contain a hash, so browsers can cache
//! them for ever.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::{Refusal, layout, secured};
use crate::http::{Response, respond_with, with_header};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

static STYLE_NAME: LazyLock<String> = LazyLock::new(|| format!("style-{}.css", hash_of(STYLE)));
static SCRIPT_NAME: LazyLock<String> = LazyLock::new(|| format!("script-{}.js", hash_of(SCRIPT)));

/// The path of the style sheet.
pub(super) fn style() -> String {
    format!("/dashboard/assets/{}", *STYLE_NAME)
}

/// The path of the script.
pub(super) fn script() -> String {
    format!("/dashboard/assets/{}", *SCRIPT_NAME)
}

pub(super) fn answer(name: &str) -> Response {
    let response = if name == *STYLE_NAME {
        respond_with(200, "text/css; charset=utf-8", STYLE)
    } else if name == *SCRIPT_NAME {
        respond_with(200, "text/javascript; charset=utf-8", SCRIPT)
    } else {
        return secured(layout::alone(&Refusal::new(404, "There is no such file.")));
    };
    let response = with_header(response, "Cache-Control", "public, max-age=31536000, immutable");
    with_header(response, "X-Content-Type-Options", "nosniff")
}

fn hash_of(text: &str) -> String {
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_are_small() {
        assert!(STYLE.len() < 16 * 1024, "{}", STYLE.len());
        assert!(SCRIPT.len() < 6 * 1024, "{}", SCRIPT.len());
    }
}
