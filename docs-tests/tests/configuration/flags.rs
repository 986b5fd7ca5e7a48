//! The agent's command line, as clap knows it.

use clap::{Arg, Command, CommandFactory};
use metrics_agent::args::Args;

pub(crate) fn chapter() -> String {
    let mut command = Args::command();
    command.build();
    let mut text = String::from(
        "## The agent's command line\n\nExit codes: 0 success, 1 a configuration with mistakes or a failure, 2 wrong usage. Logs go to standard error.\n",
    );
    for sub in command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
    {
        text.push_str(&subcommand(sub));
    }
    text
}

fn subcommand(command: &Command) -> String {
    let about = command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    let rows = command
        .get_arguments()
        .filter(|arg| arg.get_id() != "help")
        .map(row);
    format!(
        "\n### `zerohop-agent {}`\n\n{about}.\n\n| argument | variable | default | meaning |\n| --- | --- | --- | --- |\n{}",
        command.get_name(),
        rows.collect::<String>()
    )
}

fn row(arg: &Arg) -> String {
    let takes_value = arg.get_action().takes_values();
    let values = arg.get_value_names().filter(|_| takes_value);
    let value = values.and_then(<[_]>::first).map(ToString::to_string);
    let name = match (arg.get_long(), value) {
        (Some(long), Some(value)) => format!("--{long} {value}"),
        (Some(long), None) => format!("--{long}"),
        (None, value) => value.unwrap_or_default(),
    };
    let variable = arg
        .get_env()
        .map(|name| format!("`{}`", name.to_string_lossy()));
    let defaults = arg.get_default_values().iter().filter(|_| takes_value);
    let defaults: Vec<String> = defaults
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    let default = match defaults.first() {
        Some(default) => default.clone(),
        None if arg.is_required_set() => "required".to_owned(),
        None => "none".to_owned(),
    };
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let mut values = arg.get_possible_values();
    values.retain(|_| takes_value);
    let choices: String = values
        .iter()
        .map(|value| {
            let help = value
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            format!(" `{}`: {help}.", value.get_name())
        })
        .collect();
    let variable = variable.unwrap_or_default();
    format!("| `{name}` | {variable} | {default} | {help}.{choices} |\n")
}
