//! Links of a backend's answer, made to lead through the proxy: redirects and HTML
//! (k8s.io/apimachinery `pkg/util/proxy/transport.go`).
//!
//! Of a page only the values that change are touched; upstream prints every tag anew, which no reader of HTML can tell.

/// Where a page comes from and under which path its root is reached.
pub struct Links<'a> {
    /// `/api/v1/namespaces/NS/pods/NAME/proxy`
    pub prefix: &'a str,
    /// Host and port of the backend.
    pub backend: &'a str,
    /// The host that the client asked.
    pub asked: &'a str,
}

impl Links<'_> {
    /// Where a link must lead instead; `None` for one that may stay: relative ones and those to other hosts.
    pub fn rewritten(&self, link: &str) -> Option<String> {
        let afar = ["http://", "https://", "//"].iter().find_map(|start| link.strip_prefix(start));
        let (host, path) = match afar {
            Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
            None => ("", link),
        };
        let ours = host.is_empty() || host == self.backend || host == self.asked;
        if !ours || !path.starts_with('/') {
            return None;
        }
        let kept = if host == self.asked { &link[..link.len() - path.len()] } else { "" };
        let end = path.find(['?', '#']).unwrap_or(path.len());
        let (path, rest) = path.split_at(end);
        let prefix = if path.starts_with(self.prefix) { "" } else { self.prefix };
        Some(format!("{kept}{prefix}{}{rest}", clean(path)))
    }

    /// A page with its links rewritten.
    pub fn page(&self, page: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(page.len() + page.len() / 8);
        let mut copied = 0;
        for value in values(page) {
            let link = std::str::from_utf8(&page[value.clone()]).ok().and_then(|link| self.rewritten(link));
            let Some(link) = link else { continue };
            out.extend_from_slice(&page[copied..value.start]);
            out.extend_from_slice(link.as_bytes());
            copied = value.end;
        }
        out.extend_from_slice(&page[copied..]);
        out
    }
}

/// Without empty and dotted steps (Go's `path.Clean` on an absolute path), the last slash kept.
fn clean(path: &str) -> String {
    let mut steps: Vec<&str> = Vec::new();
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." => drop(steps.pop()),
            step => steps.push(step),
        }
    }
    let slash = if path.ends_with('/') && !steps.is_empty() { "/" } else { "" };
    format!("/{}{slash}", steps.join("/"))
}

/// Which attributes of a tag are links.
fn links(tag: &[u8]) -> &'static [&'static str] {
    match tag {
        b"a" | b"area" | b"base" | b"link" => &["href"],
        b"applet" => &["codebase"],
        b"audio" | b"embed" | b"script" | b"source" => &["src"],
        b"blockquote" | b"del" | b"ins" | b"q" => &["cite"],
        b"body" => &["background"],
        b"button" => &["formaction"],
        b"command" => &["icon"],
        b"form" => &["action"],
        b"frame" | b"iframe" => &["longdesc", "src"],
        b"head" => &["profile"],
        b"html" => &["manifest"],
        b"img" => &["longdesc", "src", "usemap"],
        b"input" => &["src", "usemap", "formaction"],
        b"object" => &["classid", "codebase", "data", "usemap"],
        b"video" => &["poster", "src"],
        _ => &[],
    }
}

/// Tags whose content is text, up to their end tag.
const TEXT: [&[u8]; 10] =
    [b"iframe", b"noembed", b"noframes", b"noscript", b"plaintext", b"script", b"style", b"textarea", b"title", b"xmp"];

type Span = std::ops::Range<usize>;

/// Where the links of a page are.
fn values(page: &[u8]) -> Vec<Span> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(offset) = memchr::memchr(b'<', &page[at..]) {
        at += offset + 1;
        match page.get(at) {
            Some(b'!') if page[at..].starts_with(b"!--") => at = after(page, at + 3, b"-->"),
            Some(b'!' | b'?' | b'/') => at = after(page, at, b">"),
            Some(first) if first.is_ascii_alphabetic() => at = start_tag(page, at, &mut found),
            _ => {}
        }
    }
    found
}

/// The place behind the next `mark`, or the end.
fn after(page: &[u8], at: usize, mark: &[u8]) -> usize {
    let rest = page.get(at..).unwrap_or_default();
    memchr::memmem::find(rest, mark).map_or(page.len(), |offset| at + offset + mark.len())
}

/// The length of what comes before one of `ends`, from `at`.
fn until(page: &[u8], at: usize, ends: impl Fn(u8) -> bool) -> usize {
    page[at..].iter().position(|byte| ends(*byte)).map_or(page.len(), |offset| at + offset)
}

/// Reads a tag whose name begins at `at`; returns where the text behind it begins.
fn start_tag(page: &[u8], at: usize, found: &mut Vec<Span>) -> usize {
    let space = |byte: u8| byte.is_ascii_whitespace();
    let end = until(page, at, |byte| space(byte) || matches!(byte, b'/' | b'>'));
    let tag = page[at..end].to_ascii_lowercase();
    let wanted = links(&tag);
    let mut at = end;
    loop {
        at = until(page, at, |byte| !space(byte) && byte != b'/');
        match page.get(at) {
            None => return at,
            Some(b'>') => break,
            Some(_) => {}
        }
        let name = at;
        // A name may begin with the sign that ends it.
        at = until(page, at + 1, |byte| space(byte) || matches!(byte, b'=' | b'/' | b'>'));
        let name = &page[name..at];
        let sign = until(page, at, |byte| !space(byte));
        if page.get(sign) != Some(&b'=') {
            continue;
        }
        let start = until(page, sign + 1, |byte| !space(byte));
        let value = match page.get(start) {
            Some(quote @ (b'"' | b'\'')) => start + 1..until(page, start + 1, |byte| byte == *quote),
            _ => start..until(page, start, |byte| space(byte) || byte == b'>'),
        };
        at = if value.start == start { value.end } else { (value.end + 1).min(page.len()) };
        if wanted.iter().any(|wanted| name.eq_ignore_ascii_case(wanted.as_bytes())) {
            found.push(value);
        }
    }
    at += 1;
    if !TEXT.contains(&&*tag) {
        return at;
    }
    // Its end tag is markup again.
    while let Some(offset) = memchr::memmem::find(&page[at..], b"</") {
        at += offset;
        let name = page.get(at + 2..at + 2 + tag.len());
        if name.is_some_and(|name| name.eq_ignore_ascii_case(&tag)) {
            return at;
        }
        at += 2;
    }
    page.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PREFIX: &str = "/api/v1/namespaces/a/pods/b:80/proxy";
    const LINKS: Links<'_> = Links { prefix: PREFIX, backend: "10.0.0.1:80", asked: "api.example.com" };

    // Upstream's cases: transport_test.go, TestProxyTransport and TestRewriteResponse.
    #[test]
    fn links_within_the_backend_are_led_through_the_proxy() {
        let through = |path: &str| Some(format!("{PREFIX}{path}"));
        for (link, expected) in [
            ("/kubernetes/test", through("/kubernetes/test")),
            ("/google.log?a=/b#c", through("/google.log?a=/b#c")),
            ("/x/../y//z/", through("/y/z/")),
            ("http://10.0.0.1:80/redirected", through("/redirected")),
            ("//10.0.0.1:80/redirected", through("/redirected")),
            ("https://api.example.com/x", Some(format!("https://api.example.com{PREFIX}/x"))),
            ("relative/path", None),
            ("http://elsewhere.example.com/x", None),
            ("http://10.0.0.1:80", None),
            ("#part", None),
            ("", None),
        ] {
            assert_eq!(LINKS.rewritten(link), expected, "{link}");
        }
        assert_eq!(LINKS.rewritten(&format!("{PREFIX}/x")).as_deref(), Some(&*format!("{PREFIX}/x")));
    }

    #[test]
    fn only_links_of_tags_are_touched() {
        let read = |page: &str| String::from_utf8(LINKS.page(page.as_bytes())).unwrap();
        for (page, expected) in [
            ("<pre><a href=\"/rewriteme\">test</a></pre>", "<pre><a href=\"PREFIX/rewriteme\">test</a></pre>"),
            ("<A HREF='/x' title=/y>/z</A>", "<A HREF='PREFIX/x' title=/y>/z</A>"),
            ("<img src=/a longdesc = \"/b\" alt=/c/>", "<img src=PREFIX/a longdesc = \"PREFIX/b\" alt=/c/>"),
            (
                "<script src=\"/a\">'<a href=\"/b\">'</script><a href=\"/c\">",
                "<script src=\"PREFIX/a\">'<a href=\"/b\">'</script><a href=\"PREFIX/c\">",
            ),
            (
                "<!-- <a href=\"/a\"> --><br/><link href=\"/b\"/>",
                "<!-- <a href=\"/a\"> --><br/><link href=\"PREFIX/b\"/>",
            ),
            ("a < b <a href=\"/open", "a < b <a href=\"PREFIX/open"),
            ("<style></style", "<style></style"),
        ] {
            assert_eq!(read(page), expected.replace("PREFIX", PREFIX), "{page}");
        }
    }

    proptest! {
        #[test]
        fn any_page_ends(page in "[<>a/=\"' \n!-]{0,60}|(<(a|img|script) (href|src)=[\"']?/?x?[\"']?[/ ]?>?){0,6}") {
            let links = Links { prefix: "", backend: "b", asked: "c" };
            let kept = links.page(page.as_bytes());
            prop_assert!(kept.len() <= page.len() + 1);
        }
    }
}
