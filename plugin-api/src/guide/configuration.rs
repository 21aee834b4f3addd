//! Configuration: what the person who runs the host sets, in a file beside the library.
//!
//! The file of the plugin `greeter` is `greeter.toml` in the plugins folder:
//!
//! ```toml
//! greeting = "good day"
//! [limits]
//! names = 3
//! ```
//!
//! ```standalone_crate
//! use std::sync::{PoisonError, RwLock};
//!
//! use plugin_api::{
//!     Configured, Error, Host, Request, Result, State, plugin, serde::Deserialize,
//! };
//!
//! plugin! {
//!     name: "greeter",
//!     state: Greeter,
//!     commands: {
//!         "greet" "NAME.." => greet, "Greets everybody who is named.";
//!     }
//! }
//!
//! // The first attribute saves a dependency on serde. The second makes every key one that may be
//! // left out, and a key that is none an error.
//! #[derive(Deserialize)]
//! #[serde(crate = "plugin_api::serde")]
//! #[serde(default, deny_unknown_fields)]
//! struct Config {
//!     greeting: String,
//!     limits: Limits,
//! }
//!
//! #[derive(Deserialize)]
//! #[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
//! struct Limits {
//!     names: usize,
//! }
//!
//! impl Default for Config {
//!     fn default() -> Self {
//!         Self { greeting: "hello".into(), limits: Limits::default() }
//!     }
//! }
//!
//! impl Default for Limits {
//!     fn default() -> Self {
//!         Self { names: 10 }
//!     }
//! }
//!
//! #[derive(Default)]
//! struct Greeter {
//!     config: RwLock<Config>,
//! }
//!
//! impl State for Greeter {
//!     fn create(_: &Host) -> Result<Self> {
//!         Ok(Self::default())
//!     }
//! }
//!
//! impl Configured for Greeter {
//!     type Config = Config;
//!
//!     fn configure(&self, config: Config) -> Result<()> {
//!         // Check first: after an error the old values must be in force.
//!         if config.greeting.is_empty() {
//!             return Err(Error::new("`greeting` must not be empty"));
//!         }
//!         *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
//!         Ok(())
//!     }
//! }
//!
//! fn greet(greeter: &Greeter, request: &Request) -> Result<String> {
//!     let config = greeter.config.read().unwrap_or_else(PoisonError::into_inner);
//!     if request.len() > config.limits.names {
//!         return Err(Error::new(format!("at most {} names", config.limits.names)));
//!     }
//!     Ok(format!("{}, {}", config.greeting, request.joined_text()?))
//! }
//!
//! // The test:
//! use plugin_api::testing::Plugin;
//!
//! let plugin = Plugin::start(&PLUGIN).unwrap();
//! assert_eq!(plugin.call("greet", &["Ada"]), Ok("hello, Ada".into()), "without a file");
//! plugin.configure("greeting = 'good day'\n[limits]\nnames = 1").unwrap();
//! assert_eq!(plugin.call("greet", &["Ada"]), Ok("good day, Ada".into()));
//! assert!(plugin.call("greet", &["Ada", "Bob"]).is_err());
//!
//! let error = plugin.configure("greeting = 'hi'\n[limits]\nnames = 'few'").unwrap_err();
//! assert_eq!(
//!     error.message(),
//!     "line 3, column 9: invalid type: string \"few\", expected usize, in `limits.names`"
//! );
//! assert_eq!(plugin.call("greet", &["Ada"]), Ok("good day, Ada".into()), "the old values");
//! ```
//!
//! - The host hands over the file when the plugin is loaded, and again when it has changed or gone,
//!   while calls run. Without a file the table is empty.
//! - Where the file is wrong when the plugin is loaded, the library is refused, and tried again when
//!   the file has changed. Where it is wrong later, the old values stay in force. Either way the log
//!   says the line, the column and the key, and `plugin info NAME` tells, too.
//! - Only what nobody but the host's user or root can write is taken, as with libraries. It may be up
//!   to 1 MiB long.
//! - A plugin that does without defaults leaves `default` away: it starts when it has its file.
