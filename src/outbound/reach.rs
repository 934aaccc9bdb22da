//! Which addresses calls may reach.
//!
//! Invariant: the check applies to the address that is connected to, so it does not matter if a name resolves
//! to something else the next time.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that a request may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// All addresses.
    Anywhere,
    /// All but link-local addresses and cloud metadata services, which give credentials to any process on a
    /// machine.
    BeyondLink,
    /// Like [`Reach::BeyondLink`], without loopback addresses: services there trust the machine that the
    /// service runs on.
    BeyondMachine,
    /// Public Internet addresses only: no private, loopback, link-local or other addresses that are not
    /// globally reachable.
    PublicOnly,
}

/// Why a target was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is not public, and [`Reach::PublicOnly`] applies.
    NotPublic,
    /// It is link-local or a metadata service.
    Link,
    /// It is a loopback address.
    Loopback,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPublic => "its address is not a public one, and CALL_DENY_PRIVATE refuses the others",
            Self::Link => "its address is link-local or that of a metadata service, which no call may reach",
            Self::Loopback => "its address is a loopback one, which CALL_ALLOW_LOOPBACK=true would allow",
        })
    }
}

/// Metadata services outside the link-local ranges. Each gives out credentials of the machine.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba Cloud
    Ipv4Addr::new(168, 63, 129, 16),   // Azure's wire server
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle Cloud
];
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), // AWS
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),  // AWS, for pods
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),  // Google Cloud
];

impl Reach {
    /// Why `address` is refused; `None`: it may be reached.
    pub fn refuses(self, address: IpAddr) -> Option<Refusal> {
        match self {
            Self::Anywhere => None,
            Self::PublicOnly => (!is_public(address)).then_some(Refusal::NotPublic),
            Self::BeyondLink | Self::BeyondMachine if is_link(address) => Some(Refusal::Link),
            Self::BeyondMachine if is_loopback(address) => Some(Refusal::Loopback),
            Self::BeyondLink | Self::BeyondMachine => None,
        }
    }
}

fn is_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local() || METADATA_V4.contains(&address),
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || METADATA_V6.contains(&address)
                || embedded(address).any(|inner| is_link(inner.into()))
        }
    }
}

/// Includes 0.0.0.0/8 and `::`, which lead to the machine itself.
fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.octets()[0] == 0,
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || embedded(address).any(|inner| is_loopback(inner.into()))
        }
    }
}

/// The IPv4 addresses embedded in an IPv6 address, to which gateways and kernels send its packets.
fn embedded(address: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let at = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    let last = at(g, h);
    let (first, second) = match [a, b, c, d, e, f] {
        // Mapped, compatible, translated (SIIT), NAT64.
        [0, 0, 0, 0, 0, 0xffff] | [0, 0, 0, 0, 0, 0] | [0, 0, 0, 0, 0xffff, 0] => (Some(last), None),
        [0x64, 0xff9b, 0, 0, 0, 0] => (Some(last), None),
        // Local-use NAT64: a prefix of 96 bits, or of 48 bits, which puts the address around the ninth byte
        // (RFC 6052).
        [0x64, 0xff9b, 1, ..] => {
            let ([_, low], [high, _]) = (e.to_be_bytes(), f.to_be_bytes());
            (Some(last), Some(at(d, u16::from_be_bytes([low, high]))))
        }
        // 6to4, and Teredo, which inverts the client's address.
        [0x2002, high, low, ..] => (Some(at(high, low)), None),
        [0x2001, 0, server_high, server_low, ..] => (Some(at(server_high, server_low)), Some(at(!g, !h))),
        // ISATAP, with any prefix.
        [_, _, _, _, 0 | 0x200, 0x5efe] => (Some(last), None),
        _ => (None, None),
    };
    first.into_iter().chain(second)
}

/// According to the registries of special-purpose addresses (RFC 6890): what is not globally reachable is not
/// public.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_shared = a == 100 && (64..128).contains(&b); // 100.64.0.0/10, behind carrier-grade NAT.
    let is_protocol = (a, b, c) == (192, 0, 0);
    let is_benchmark = a == 198 && (b == 18 || b == 19);
    !(a == 0
        || 240 <= a // Reserved, and the broadcast address.
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || METADATA_V4.contains(&address)
        || is_shared
        || is_protocol
        || is_benchmark)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if embedded(address).any(|inner| !is_public_v4(inner)) {
        return false;
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => true,
        // Within global unicast, 2000::/3, these are not public: Teredo, benchmarking, ORCHID and ORCHIDv2,
        // drone identities, and documentation.
        [0x2001, 0 | 2 | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [0x2001, second, ..] if matches!(second & 0xfff0, 0x10 | 0x20) => false,
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_reachable_from_anywhere_are_not_public() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:2:0:ffff::1",
            "2001:10::1",
            "2001:1f:ffff::1",
            "2001:20::1",
            "2001:2f::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2a00:1450::5efe:10.0.0.1",
            "3fff::1",
            "3fff:fff::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2002:101:101::1",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "3fff:1000::1",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn link_local_metadata_and_loopback_addresses_are_known_in_every_form() {
        #[track_caller]
        fn check(address: &str, expected: Option<Refusal>) {
            let address = address.parse().unwrap();
            assert_eq!(Reach::BeyondMachine.refuses(address), expected, "{address}");
            let of_link = expected.filter(|refusal| *refusal == Refusal::Link);
            assert_eq!(Reach::BeyondLink.refuses(address), of_link, "{address}");
            assert_eq!(Reach::Anywhere.refuses(address), None);
            if expected.is_some() {
                assert_eq!(Reach::PublicOnly.refuses(address), Some(Refusal::NotPublic), "{address}");
            }
        }
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fe80::1",
            "febf:ffff::1",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::169.254.169.254",
            "64:ff9b:1:a9fe:a9:fe00::",
            "2002:a9fe:a9fe::1",
            "2001:0:a9fe:a9fe::1",
            "2001:0:101:101:0:0:5601:5601",
            "2001:db8::5efe:169.254.169.254",
            "2001:db8::200:5efe:169.254.169.254",
        ] {
            check(address, Some(Refusal::Link));
        }
        for address in [
            "127.0.0.1",
            "127.255.0.9",
            "0.0.0.0",
            "0.0.0.1",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:0.0.0.0",
            "::127.0.0.1",
            "64:ff9b::127.0.0.1",
            "2002:7f00:1::",
            "::ffff:0:127.0.0.1",
        ] {
            check(address, Some(Refusal::Loopback));
        }
        for address in ["10.0.0.1", "192.168.1.1", "1.1.1.1", "fd00:ec2::255", "fec0::1", "2606:4700::1111"] {
            check(address, None);
        }
    }
}
