//! Records by hand: good ones, and one for each thing that can be wrong.

use super::*;

/// `a` is changed twice, deleted and made again; `b` is left alone; `c` is made and deleted.
fn truth() -> Truth {
    let before = BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]);
    Truth::new(&before, "applied a 3\napplied c 4\napplied a 5\ndeleted c -\ndeleted a -\napplied a 8\n")
}

const LIST: &str = "list\nitem a 1\nitem b 2\nlisted\n";
const EVENTS: &str = "applied a 3\napplied c 4\napplied a 5\ndeleted c 6\ndeleted a 7\napplied a 8\n";

fn verdict(record: &str) -> (Vec<String>, Vec<String>) {
    let verdict = judge(&truth(), record);
    let mut behind = verdict.behind;
    behind.sort();
    (verdict.wrong, behind)
}

#[test]
fn the_truth_is_what_was_there_and_the_journal() {
    assert_eq!(truth().after(), BTreeMap::from([("a".to_owned(), 8), ("b".to_owned(), 2)]));
    assert_eq!(truth().changes(), 6);
}

#[test]
fn whoever_sees_all_or_lists_again_is_right() {
    for record in [
        format!("{LIST}{EVENTS}"),
        // The second list stands for what is between.
        format!("{LIST}applied a 3\nrefused 410\nlist\nitem a 5\nitem b 2\nlisted\ndeleted a 7\napplied a 8\n"),
        // A list that broke off, and one without the object that is then made again.
        format!("list\nitem a 1\n{LIST}applied a 3\nlist\nitem b 2\nlisted\napplied a 8\n"),
        format!("{LIST}{EVENTS}handled a 1\nhandled b 2\nhandled a 5\nhandled a -\nhandled a 8\n"),
        format!(
            "{LIST}{EVENTS}reconciled a 1\nreconciled b 2\nreconciled a 1\nreconciled a -\nreconciled a -\nreconciled a 8\n"
        ),
    ] {
        assert_eq!(verdict(&record), (vec![], vec![]), "{record}");
    }
}

#[test]
fn everything_wrong_is_found() {
    for (what, record) in [
        ("something is lost", format!("{LIST}applied a 5\n")),
        ("something is lost", format!("{LIST}applied a 3\ndeleted a 7\n")),
        ("something is lost", format!("{LIST}applied a 3\napplied a 8\n")),
        ("revision 3 after 3", format!("{LIST}applied a 3\napplied a 3\n")),
        ("twice", format!("{LIST}applied a 3\napplied a 5\ndeleted a 7\nlist\nitem b 2\nlisted\napplied a 5\n")),
        ("later than", format!("{LIST}applied a 3\napplied a 5\nlist\nitem a 3\nitem b 2\nitem c 4\nlisted\n")),
        ("though it was not deleted", "list\nitem a 1\nlisted\n".to_owned()),
        ("nobody wrote", format!("{LIST}applied a 9\n")),
        ("before any list", "applied a 3\n".to_owned()),
        ("is unknown", "list\nitem a 1\nitem b 2\nitem x 2\nlisted\n".to_owned()),
        ("again", format!("{LIST}handled a 1\nhandled a 1\n")),
        ("again", format!("{LIST}reconciled a 3\nreconciled a 1\n")),
        ("no word", "hello\n".to_owned()),
    ] {
        let wrong = judge(&truth(), &record).wrong;
        assert!(wrong.iter().any(|wrong| wrong.contains(what)), "{what}: {wrong:?}");
    }
    assert_eq!(verdict(&format!("{LIST}applied a 3\n")), (vec![], vec!["a".to_owned()]));
    assert_eq!(verdict(&format!("{LIST}{EVENTS}handled a 8\n")).1, ["b"]);
}
