//! Configuration: values that the operator of the host sets, in a file beside the library.
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
//! // The first attribute avoids a dependency on serde. The second makes every key optional and an
//! // unknown key an error.
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
//!         // Check first: after an error the old values must still be in force.
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
//! - The host passes the file when the plugin is loaded, and again when it has changed or is gone,
//!   while calls run. Without a file the table is empty.
//! - If the file is wrong when the plugin is loaded, the library is rejected, and tried again when
//!   the file has changed. If it is wrong later, the old values stay in force. In both cases the
//!   log names the line, the column and the key, and `plugin info NAME` shows the error too.
//! - As with libraries, the host reads the file only if nobody except the host's user and root can
//!   write to it. It may be up to 1 MiB long.
//! - A plugin without defaults omits `default`: it starts once it has its file.
