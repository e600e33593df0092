//! The names of time zones, as Go's own copy of the IANA database has them. Their rules are not here.

/// One area a line, then the names in it; `/` stands for none.
const NAMES: &str = include_str!("zones.txt");

/// Whether Go's `time.LoadLocation` knows the name.
pub fn is_zone(name: &str) -> bool {
    if matches!(name, "UTC" | "Local") {
        return true;
    }
    let (area, place) = name.rsplit_once('/').map_or(("/", name), |(area, place)| (&name[..=area.len()], place));
    let mut lines = NAMES.lines().filter_map(|line| line.split_once(' '));
    lines.any(|(of, places)| of == area && places.split(' ').any(|known| known == place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_whole() {
        for name in ["Europe/Oslo", "America/Argentina/Ushuaia", "UTC", "Etc/GMT+1", "EST", "Zulu"] {
            assert!(is_zone(name), "{name}");
        }
        for name in ["Europe/Oslox", "Oslo", "Europe", "Europe/", "", "europe/oslo"] {
            assert!(!is_zone(name), "{name}");
        }
    }
}
