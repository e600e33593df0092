//! What a program writes down, a line for everything, and what is wrong with that, held against the journal of the writer.
//!
//! On the wire: `list` and `listed` stand around the `item NAME REVISION` of a state that the client asked for; `applied NAME REVISION`
//! and `deleted NAME REVISION` are events; `refused ...` is an error that the server sent into a watch. In the program:
//! `handled NAME REVISION` is what a handler was called with, `reconciled NAME REVISION` what a reconciler found (`-` in the
//! place of a revision is no object). The journal has `applied` and `deleted`, the latter with `-`, as a deletion does not
//! answer with its revision.

use std::collections::{BTreeMap, HashMap, HashSet};

/// What became of each object, one state after the other: its revision, or that there is none.
#[derive(Debug, Default)]
pub struct Truth(BTreeMap<String, Vec<Option<u64>>>);

impl Truth {
    /// From the objects before the journal, and the journal.
    pub fn new(before: &BTreeMap<String, u64>, journal: &str) -> Truth {
        let mut truth = Truth(before.iter().map(|(name, revision)| (name.clone(), vec![Some(*revision)])).collect());
        for (word, name, revision) in journal.lines().filter_map(words) {
            if matches!(word, "applied" | "deleted") {
                truth.0.entry(name.to_owned()).or_insert_with(|| vec![None]).push(revision);
            }
        }
        truth
    }

    /// The objects after the journal.
    pub fn after(&self) -> BTreeMap<String, u64> {
        self.0.iter().filter_map(|(name, states)| Some((name.clone(), (*states.last()?)?))).collect()
    }

    /// How many changes the journal has.
    pub fn changes(&self) -> usize {
        self.0.values().map(|states| states.len() - 1).sum()
    }
}

fn words(line: &str) -> Option<(&str, &str, Option<u64>)> {
    let mut words = line.split(' ');
    Some((words.next()?, words.next().unwrap_or_default(), words.next().and_then(|word| word.parse().ok())))
}

/// Where a client stands with one object.
#[derive(Clone, Copy, Debug)]
struct Place {
    state: usize,
    /// It only knows that there is no object: which of the times without one this is shows with the next event.
    loose: bool,
}

/// A client's way through the truth.
#[derive(Debug, Default)]
struct Way<'a> {
    truth: &'a [Option<u64>],
    at: Option<Place>,
}

impl Way<'_> {
    fn first(&self) -> usize {
        self.at.map_or(0, |place| place.state)
    }

    fn place_of(&self, revision: u64) -> Result<usize, String> {
        let found = self.truth.iter().position(|state| *state == Some(revision));
        found.ok_or_else(|| format!("revision {revision}, which nobody wrote"))
    }

    /// A state, with or without those between it and the last one. A handler's may not be the last one again.
    fn jump(&mut self, revision: Option<u64>, again: bool) -> Result<(), String> {
        let first = self.first();
        let state = if let Some(revision) = revision {
            self.place_of(revision)?
        } else {
            let absent = (first..self.truth.len()).find(|state| self.truth[*state].is_none());
            absent.ok_or("no object, though it was not deleted")?
        };
        let stays = self.at.is_some() && state == first;
        if state < first || (stays && !again && revision.is_some()) {
            return Err(format!("{} again, or later than what came after it", shown(revision)));
        }
        self.at = Some(Place { state, loose: revision.is_none() });
        Ok(())
    }

    /// The state that follows, with none left out.
    fn next(&mut self, revision: Option<u64>) -> Result<(), String> {
        let Some(place) = self.at else { return Err("an event before any list".to_owned()) };
        let state = match revision {
            Some(revision) => self.place_of(revision)?,
            None => place.state + 1,
        };
        let follows =
            if place.loose { state > place.state && self.truth[state - 1].is_none() } else { state == place.state + 1 };
        if state <= place.state {
            return Err(format!("{} twice, or after what came after it", shown(revision)));
        }
        if !follows || self.truth.get(state).is_none_or(|state| *state != revision) {
            let between = self.truth.get(place.state..=state).unwrap_or(&self.truth[place.state..]);
            return Err(format!("{} right after {between:?}: something is lost", shown(revision)));
        }
        self.at = Some(Place { state, loose: false });
        Ok(())
    }

    fn is_at_end(&self) -> bool {
        let last = self.truth.len() - 1;
        self.at.is_some_and(|place| place.state == last || (place.loose && self.truth[last].is_none()))
    }
}

fn shown(revision: Option<u64>) -> String {
    revision.map_or_else(|| "deleted".to_owned(), |revision| format!("revision {revision}"))
}

/// What a record says in figures.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub lists: usize,
    pub events: usize,
    /// Errors in watches, such as 410.
    pub refused: usize,
    /// Calls of handlers and reconcilers.
    pub calls: usize,
}

/// Figures and everything that is wrong with a record; a client that is only not there yet is told by `behind`.
#[derive(Debug, Default)]
pub struct Verdict {
    pub figures: Figures,
    pub wrong: Vec<String>,
    /// Objects whose last state the client has not seen, on the wire or in the program.
    pub behind: Vec<String>,
}

/// Holds a record against the truth.
pub fn judge(truth: &Truth, record: &str) -> Verdict {
    let ways = || -> HashMap<&str, Way> {
        truth.0.iter().map(|(name, states)| (name.as_str(), Way { truth: states, at: None })).collect()
    };
    let (mut wire, mut program) = (ways(), ways());
    let mut verdict = Verdict::default();
    let mut items: HashMap<&str, u64> = HashMap::new();
    let mut newest = 0;
    for (word, name, revision) in record.lines().filter_map(words) {
        let figures = &mut verdict.figures;
        let result = match word {
            "list" => {
                figures.lists += 1;
                items.clear();
                Ok(())
            }
            "item" => {
                items.insert(name, revision.unwrap_or_default());
                Ok(())
            }
            "listed" => {
                newest = items.values().copied().max().unwrap_or_default();
                let unknown = items.keys().find(|name| !wire.contains_key(**name));
                let unknown = unknown.map(|name| format!("list: {name} is unknown"));
                let stale = wire.iter_mut().filter_map(|(name, way)| {
                    way.jump(items.get(name).copied(), true).err().map(|wrong| format!("list: {name}: {wrong}"))
                });
                verdict.wrong.extend(unknown.into_iter().chain(stale));
                Ok(())
            }
            "applied" | "deleted" => {
                figures.events += 1;
                let last = std::mem::replace(&mut newest, revision.unwrap_or_default());
                let way = wire.get_mut(name).ok_or_else(|| "unknown".to_owned());
                if newest <= last {
                    Err(format!("revision {newest} after {last}"))
                } else {
                    way.and_then(|way| way.next(revision.filter(|_| word == "applied")))
                }
            }
            "refused" => {
                figures.refused += 1;
                Ok(())
            }
            "handled" | "reconciled" => {
                figures.calls += 1;
                let way = program.get_mut(name).ok_or_else(|| "unknown".to_owned());
                way.and_then(|way| way.jump(revision, word == "reconciled"))
            }
            other => Err(format!("{other:?} is no word of a record")),
        };
        if let Err(wrong) = result {
            verdict.wrong.push(format!("{word} {name}: {wrong}"));
        }
    }
    let mut behind: HashSet<&str> = wire.iter().filter(|(_, way)| !way.is_at_end()).map(|(name, _)| *name).collect();
    if verdict.figures.calls > 0 {
        // An object that was deleted before a handler heard of it is none of its business.
        let silent = |way: &Way| way.at.is_none() && way.truth.last() == Some(&None);
        behind.extend(program.iter().filter(|(_, way)| !way.is_at_end() && !silent(way)).map(|(name, _)| *name));
    }
    verdict.behind = behind.into_iter().map(str::to_owned).collect();
    verdict
}

#[cfg(test)]
mod tests;
