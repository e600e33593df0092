//! Blocks of addresses in `ADDRESS/LENGTH` form, and what lies in them.

use apimachinery::validation::ip::parse_cidr_sloppy;
use std::fmt;
use std::net::IpAddr;

/// A block; bits of the address past the length are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Cidr {
    first: IpAddr,
    length: u8,
}

impl Cidr {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, length) = parse_cidr_sloppy(text)?;
        Some(Self { first: masked(address, length), length })
    }

    pub(crate) fn is_ipv6(&self) -> bool {
        self.first.is_ipv6()
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv6() == self.is_ipv6() && masked(address, self.length) == self.first
    }

    /// The blocks of this length in it, in order; none when they are larger than it. Not more than 65536, as upstream.
    pub(crate) fn blocks(self, length: u8) -> impl Iterator<Item = Self> {
        let count = length.checked_sub(self.length).map_or(0, |bits| 1_u32 << bits.min(16));
        (0..count).map(move |index| {
            let first = match self.first {
                IpAddr::V4(first) => {
                    IpAddr::V4((first.to_bits() | index.checked_shl(32 - u32::from(length)).unwrap_or(0)).into())
                }
                IpAddr::V6(first) => {
                    let shifted = u128::from(index).checked_shl(128 - u32::from(length)).unwrap_or(0);
                    IpAddr::V6((first.to_bits() | shifted).into())
                }
            };
            Self { first, length }
        })
    }

    /// Whether all of `other` lies in this block.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.length <= other.length && self.contains(other.first)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_blocks_and_contain_addresses() {
        let block = |text| Cidr::parse(text).unwrap();
        assert!(block("10.0.0.0/8").covers(&block("10.1.0.0/16")));
        assert!(!block("10.1.0.0/16").covers(&block("10.0.0.0/8")));
        assert!(block("0.0.0.0/0").contains("1.2.3.4".parse().unwrap()));
        assert!(!block("0.0.0.0/0").contains("::1".parse().unwrap()));
        assert!(block("2001:db8::/64").contains("2001:db8::1".parse().unwrap()));
        assert_eq!(block("10.1.2.3/16"), block("10.1.0.0/16"));
        assert_eq!(Cidr::parse("10.0.0.0"), None);
        let parts: Vec<String> = block("10.0.0.0/22").blocks(24).map(|own| own.to_string()).collect();
        assert_eq!(parts, ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24"]);
        assert_eq!(block("10.0.0.0/25").blocks(24).count(), 0);
    }
}
