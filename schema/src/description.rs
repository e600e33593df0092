//! The published descriptions of types and fields, as `kubectl explain` prints them.
//!
//! They are by far the largest part of what is known about the types and the least asked for, so they lie deflated in
//! the binary. [`Descriptions::unpack`] costs a few milliseconds and half a megabyte; whoever calls it drops the result
//! when the document is written.

use crate::types::{Scalar, Type, types};

static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptions.bin"));

/// The scalars that have a published schema of their own, in the order in which the build script packs them.
const SCALARS: [Scalar; 8] = [
    Scalar::Time,
    Scalar::MicroTime,
    Scalar::Duration,
    Scalar::FieldsV1,
    Scalar::Quantity,
    Scalar::IntOrString,
    Scalar::Raw,
    Scalar::Json,
];

/// All descriptions, unpacked.
pub struct Descriptions {
    /// Two bytes per reference, then the texts with a zero byte after each.
    plain: Vec<u8>,
    /// Where each text begins and ends in `plain`.
    spans: Vec<(u32, u32)>,
}

impl Descriptions {
    /// Inflates the packed texts.
    pub fn unpack() -> Self {
        let mut plain = Vec::new();
        let mut decoder = flate2::write::DeflateDecoder::new(&mut plain);
        // The input is part of the binary and was written by its build.
        let written = std::io::Write::write_all(&mut decoder, PACKED).and_then(|()| decoder.finish().map(|_| ()));
        if let Err(error) = written {
            unreachable!("descriptions of the build do not inflate: {error}");
        }
        let members: usize = types().iter().map(|t| t.members().len()).sum();
        let mut start = 2 * (types().len() + members + SCALARS.len());
        let mut spans = Vec::new();
        while let Some(length) = plain[start..].iter().position(|byte| *byte == 0) {
            spans.push((start as u32, (start + length) as u32));
            start += length + 1;
        }
        Self { plain, spans }
    }

    /// What a kind or type is.
    pub fn of_type(&self, t: &'static Type) -> Option<&str> {
        self.text(t.position())
    }

    /// What each member of a type is, in the order of [`Type::members`].
    pub fn of_members(&self, t: &'static Type) -> impl Iterator<Item = Option<&str>> {
        let first = types().len() + t.first_member();
        (first..first + t.members().len()).map(|at| self.text(at))
    }

    /// What one member of a type is.
    pub fn of_member(&self, t: &'static Type, json_name: &str) -> Option<&str> {
        let at = t.members().position(|member| member.json_name() == json_name)?;
        self.text(types().len() + t.first_member() + at)
    }

    /// What a scalar with a schema of its own is: a quantity, a time.
    pub fn of_scalar(&self, scalar: Scalar) -> Option<&str> {
        let members: usize = types().iter().map(|t| t.members().len()).sum();
        let at = SCALARS.iter().position(|known| *known == scalar)?;
        self.text(types().len() + members + at)
    }

    fn text(&self, reference: usize) -> Option<&str> {
        let bytes = self.plain.get(2 * reference..2 * reference + 2)?;
        let id = usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
        let (start, end) = *self.spans.get(id.checked_sub(1)?)?;
        std::str::from_utf8(&self.plain[start as usize..end as usize]).ok()
    }
}

impl std::fmt::Debug for Descriptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Descriptions({} texts)", self.spans.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::type_named;

    #[test]
    fn descriptions_of_types_members_enums_and_scalars() {
        let all = Descriptions::unpack();
        let of = |name: &str, member: &str| {
            let t = type_named(name).expect("a type");
            if member.is_empty() { all.of_type(t) } else { all.of_member(t, member) }.unwrap_or_default().to_owned()
        };
        assert_eq!(of("core.v1.PodSpec", ""), "PodSpec is a description of a pod.");
        assert_eq!(of("core.v1.PodList", ""), "PodList is a list of Pods.");
        assert_eq!(of("core.v1.PodSpec", "affinity"), "If specified, the pod's scheduling constraints");
        assert!(of("core.v1.PodList", "kind").starts_with("Kind is a string value"));
        assert!(of("meta.v1.ListOptions", "watch").starts_with("Watch for changes"));
        let phase = of("core.v1.PodStatus", "phase");
        assert!(phase.contains("\n\nPossible enum values:\n - `\"Failed\"` means that all containers"), "{phase}");
        assert!(all.of_scalar(Scalar::Quantity).is_some_and(|text| text.starts_with("Quantity is a fixed-point")));
        assert_eq!(all.of_scalar(Scalar::Bool), None);
    }

    #[test]
    fn descriptions_are_small_in_the_binary() {
        assert!(PACKED.len() < 200 * 1024, "{} bytes", PACKED.len());
        println!("{} bytes packed, {} unpacked", PACKED.len(), Descriptions::unpack().plain.len());
    }
}
