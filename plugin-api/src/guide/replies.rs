//! Replies of each kind, and errors.
//!
//! A function returns an ordinary value, and [`IntoReply`](crate::IntoReply) turns it into a reply.
//! The form of the reply depends on the client's protocol: RESP3 has every kind, RESP2 flattens
//! maps, and a client that sends plain lines gets plain lines.
//!
//! ```standalone_crate
//! use std::collections::BTreeMap;
//!
//! use plugin_api::{Error, Request, Result, Value, plugin};
//!
//! plugin! {
//!     name: "shelf",
//!     commands: {
//!         "shelf.check" "" => check, "OK, and nothing else.";
//!         "shelf.title" "NUMBER" => title, "A text, or null where there is no such book.";
//!         "shelf.titles" "" => titles, "A list of texts.";
//!         "shelf.pages" "" => pages, "A map from titles to numbers.";
//!         "shelf.facts" "" => facts, "A map whose values differ in kind.";
//!         "shelf.lend" "TITLE" => lend, "An error of a kind of its own.";
//!         "shelf.cover" "" => cover, "Bytes that are no text.";
//!     }
//! }
//!
//! const BOOKS: [(&str, u32); 2] = [("Dune", 412), ("Emma", 474)];
//!
//! fn check(_: &Request) {}
//!
//! // `?` turns every `std::error::Error` into an error reply of the kind ERR. The errors of
//! // `Request` for an argument of the wrong form can be shown to clients as they are.
//! fn title(request: &Request) -> Result<Option<&'static str>> {
//!     let number = usize::try_from(request.integer(0)?)?;
//!     Ok(BOOKS.get(number).map(|(title, _)| *title))
//! }
//!
//! fn titles(_: &Request) -> Vec<&'static str> {
//!     BOOKS.map(|(title, _)| title).to_vec()
//! }
//!
//! fn pages(_: &Request) -> BTreeMap<&'static str, u32> {
//!     BOOKS.into()
//! }
//!
//! fn facts(_: &Request) -> Value {
//!     Value::map([
//!         ("books", BOOKS.len().into()),
//!         ("mean", 443.0.into()),
//!         ("open", true.into()),
//!         ("titles", Value::list(BOOKS.map(|(title, _)| title))),
//!         ("lent", Value::Null),
//!     ])
//! }
//!
//! // The kind is for programs, one word in capitals; the message is for people.
//! fn lend(request: &Request) -> Result<()> {
//!     let title = request.text(0)?;
//!     match BOOKS.iter().any(|(known, _)| *known == title) {
//!         true => Err(Error::with_kind("LENT", format!("'{title}' is lent already"))),
//!         false => Err(Error::new(format!("there is no '{title}'"))),
//!     }
//! }
//!
//! fn cover(_: &Request) -> Vec<u8> {
//!     vec![0xff, 0xd8, 0xff]
//! }
//!
//! // The test:
//! let plugin = plugin_api::testing::Plugin::start(&PLUGIN).unwrap();
//! assert_eq!(plugin.call("shelf.check", &[]), Ok(Value::Ok));
//! assert_eq!(plugin.call("shelf.title", &["1"]), Ok("Emma".into()));
//! assert_eq!(plugin.call("shelf.title", &["7"]), Ok(Value::Null));
//! assert!(plugin.call("shelf.title", &["-1"]).is_err());
//! assert_eq!(plugin.call("shelf.titles", &[]), Ok(Value::list(["Dune", "Emma"])));
//! let pages = Value::map([("Dune", 412.into()), ("Emma", 474.into())]);
//! assert_eq!(plugin.call("shelf.pages", &[]), Ok(pages));
//! let Ok(Value::Map(facts)) = plugin.call("shelf.facts", &[]) else { panic!() };
//! assert_eq!(facts[2], ("open".into(), true.into()));
//! assert_eq!(plugin.call("shelf.lend", &["Dune"]).unwrap_err().kind(), "LENT");
//! assert_eq!(plugin.call("shelf.cover", &[]), Ok(vec![0xff, 0xd8, 0xff].into()));
//! ```
//!
//! - A panic becomes an error reply to that one request. The host keeps running.
//! - A type of your own becomes a reply by implementing [`IntoReply`](crate::IntoReply).
//! - Build the whole reply in memory: the host sends it after the function has returned.
