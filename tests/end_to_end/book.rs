//! The pages: every link leads to a file and a heading, and the book contains every page.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use dropin_tests::workspace::root;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// The pages beside the folder `docs`.
const BESIDE: [&str; 5] =
    ["README.md", "ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"];

/// The links of a page, and the names by which its headings can be linked.
#[derive(Default)]
struct Page {
    links: Vec<String>,
    headings: BTreeSet<String>,
}

impl Page {
    fn read(path: &Path) -> Self {
        let (text, mut page, mut heading) = (expanded(path), Self::default(), None);
        for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(text) | Event::Code(text) => {
                    heading.iter_mut().for_each(|heading| heading.push_str(&text));
                }
                Event::End(TagEnd::Heading(_)) => page.add(&heading.take().unwrap()),
                _ => {}
            }
        }
        page
    }

    /// Adds a heading by the name that GitHub and mdBook give it.
    fn add(&mut self, heading: &str) {
        let kept = |char: &char| char.is_alphanumeric() || " -_".contains(*char);
        let name: String = heading.to_lowercase().chars().filter(kept).collect();
        let name = name.replace(' ', "-");
        let mut numbered = (1..).map(|number| format!("{name}-{number}"));
        let again = self.headings.contains(&name);
        let free = if again { numbered.find(|one| !self.headings.contains(one)) } else { None };
        self.headings.insert(free.unwrap_or(name));
    }
}

/// A page's text, with the text that mdBook includes in it: a file, or its part `NAME` between the
/// comments `ANCHOR: NAME` and `ANCHOR_END: NAME`.
fn expanded(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let Some(rest) = text.strip_prefix("{{#include ") else { return text };
    let (included, rest) = rest.split_once("}}").expect("an inclusion has an end");
    let (file, part) = included.split_once(':').unwrap_or((included, ""));
    let mut text = fs::read_to_string(path.with_file_name(file)).unwrap();
    if !part.is_empty() {
        let begin = format!("<!-- ANCHOR: {part} -->");
        let end = format!("<!-- ANCHOR_END: {part} -->");
        let (_, after) = text.split_once(&begin).expect("the part has a beginning");
        text = after.split_once(&end).expect("the part has an end").0.to_owned();
    }
    text + rest
}

/// Every page of the book, its table of contents included.
fn pages_of_the_book() -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![root().join("docs")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn links_lead_to_files_and_headings() {
    let beside = BESIDE.iter().map(|name| root().join(name)).filter(|path| path.exists());
    let (mut broken, mut count) = (Vec::new(), 0);
    for path in beside.chain(pages_of_the_book()) {
        let page = Page::read(&path);
        for link in page.links.iter().filter(|link| !link.contains("://")) {
            count += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            let has = || Page::read(&target).headings.contains(heading);
            if !target.exists() || !(heading.is_empty() || has()) {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
    assert!(count > 100, "{count} links");
}

/// Such a link would work in the checkout, and lead nowhere in the book.
#[test]
fn links_of_the_book_stay_inside() {
    let inside = root().join("docs").canonicalize().unwrap();
    for path in pages_of_the_book() {
        for link in Page::read(&path).links.iter().filter(|link| !link.contains("://")) {
            let file = link.split('#').next().unwrap();
            let target = path.with_file_name(file).canonicalize();
            let is_inside = target.map_or(true, |target| target.starts_with(&inside));
            assert!(is_inside, "{}: {link} is not in the book", path.display());
        }
    }
}

#[test]
fn table_of_contents_lists_every_page_once() {
    let contents = root().join("docs/SUMMARY.md");
    let links = Page::read(&contents).links;
    let listed: BTreeSet<PathBuf> =
        links.iter().map(|link| contents.with_file_name(link)).collect();
    assert_eq!(listed.len(), links.len(), "each page is listed once");
    let pages = pages_of_the_book().into_iter().filter(|path| *path != contents);
    assert_eq!(listed, pages.collect());
}

/// Examples that are a part of a plugin that ships are compiled there; the others are documentation
/// tests of this package.
#[test]
fn excerpts_are_lines_of_shipped_plugins() {
    let page = fs::read_to_string(root().join("docs/plugins.md")).unwrap();
    let plugin = fs::read_to_string(root().join("plugins/clock/src/lib.rs")).unwrap();
    let excerpts: Vec<&str> = page.split("\n```rs\n").skip(1).collect();
    assert_eq!(excerpts.len(), 1, "an example that is not compiled has its plugin here");
    let mut rest = plugin.lines().map(str::trim);
    let code = excerpts[0].split("\n```").next().unwrap().lines().map(str::trim);
    for line in code.filter(|line| !line.is_empty() && !line.starts_with("//")) {
        assert!(rest.any(|one| one == line), "the plugin has no '{line}'");
    }
}
