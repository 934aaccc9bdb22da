//! Signs requests as the Standard Webhooks specification says (symmetric, `v1`).

use base64::prelude::{BASE64_STANDARD, Engine};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The prefix of a secret.
pub const SIGNING_SECRET_PREFIX: &str = "whsec_";
/// The range of a secret's length, in bytes.
pub const SIGNING_SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The bytes of a secret; `None`: it is not valid.
pub fn signing_key(secret: &str) -> Option<Vec<u8>> {
    let key = BASE64_STANDARD.decode(secret.strip_prefix(SIGNING_SECRET_PREFIX)?).ok()?;
    SIGNING_SECRET_BYTES.contains(&key.len()).then_some(key)
}

/// The value of `Webhook-Signature`; `None`: the secret is not valid.
pub fn signature(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&signing_key(secret)?).ok()?;
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    Some(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_has_its_signature() {
        let signature = signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn a_secret_has_its_prefix_and_24_to_64_bytes() {
        let secret = |bytes: usize| format!("whsec_{}", BASE64_STANDARD.encode(vec![7; bytes]));
        for (bytes, is_one) in [(23, false), (24, true), (64, true), (65, false)] {
            assert_eq!(signing_key(&secret(bytes)).is_some(), is_one, "{bytes}");
        }
        for wrong in
            ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!fKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
        {
            assert_eq!(signing_key(wrong), None, "{wrong}");
        }
    }
}
