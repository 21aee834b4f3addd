//! {{project-name}}: a Dropin plugin.

use plugin_api::{Error, Request, Result, log, plugin};

// Each command is a name, a usage line, a function and one sentence of help. The host checks the
// number of arguments against the usage line: `[WHO]` may be left out, `NUMBER..` is one or more.
plugin! {
    commands: {
        "{{project-name}}.hello" "[WHO]" => hello, "A greeting.";
        "{{project-name}}.mean" "NUMBER.." => mean, "The mean of the numbers.";
    }
}

fn hello(request: &Request) -> Result<String> {
    // Into the host's log, under the plugin's name.
    log::info!("{} says hello", request.peer());
    let who = if request.is_empty() { "you" } else { request.text(0)? };
    if who.is_empty() {
        return Err(Error::new("WHO must not be empty"));
    }
    Ok(format!("hello, {who}"))
}

fn mean(request: &Request) -> Result<f64> {
    let sum: f64 = (0..request.len()).map(|index| request.float(index)).sum::<Result<f64>>()?;
    Ok(sum / request.len() as f64)
}

#[cfg(test)]
mod tests {
    use plugin_api::testing::Plugin;

    use super::*;

    #[test]
    fn it_greets() {
        let plugin = Plugin::start(&PLUGIN).unwrap();
        assert_eq!(plugin.call("{{project-name}}.hello", &[]), Ok("hello, you".into()));
        assert_eq!(plugin.call("{{project-name}}.hello", &["Ada"]), Ok("hello, Ada".into()));
        assert!(plugin.call("{{project-name}}.hello", &[""]).is_err());
    }

    #[test]
    fn it_takes_the_mean() {
        let plugin = Plugin::start(&PLUGIN).unwrap();
        assert_eq!(plugin.call("{{project-name}}.mean", &["1", "2", "4.5"]), Ok(2.5.into()));
        assert!(plugin.call("{{project-name}}.mean", &["1", "two"]).is_err());
    }
}
