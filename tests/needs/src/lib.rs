//! Attributes for tests that need one of the two databases. Without it the test is ignored, with that reason,
//! so that the runner's summary says how many tests have run.
//!
//! Which database the tests run on is the variable `TEST_DATABASE_URL` at the time they are compiled.
//! `tests/it/database.rs` has cargo compile them again when it changes, and checks that it is the same when
//! they run.

use proc_macro::TokenStream;

/// This test runs on PostgreSQL only.
#[proc_macro_attribute]
pub fn postgres(_: TokenStream, test: TokenStream) -> TokenStream {
    ignored_unless(is_on_postgres(), "needs PostgreSQL: set TEST_DATABASE_URL", test)
}

/// This test runs on SQLite only.
#[proc_macro_attribute]
pub fn sqlite(_: TokenStream, test: TokenStream) -> TokenStream {
    ignored_unless(!is_on_postgres(), "needs SQLite", test)
}

fn is_on_postgres() -> bool {
    std::env::var("TEST_DATABASE_URL").is_ok_and(|url| !url.is_empty())
}

fn ignored_unless(is_met: bool, reason: &str, test: TokenStream) -> TokenStream {
    let mut tokens = TokenStream::new();
    if !is_met {
        let ignore = format!("#[ignore = {reason:?}]");
        tokens.extend(ignore.parse::<TokenStream>().expect("an attribute"));
    }
    tokens.extend(test);
    tokens
}
