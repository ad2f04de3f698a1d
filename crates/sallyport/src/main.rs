//! The server: wiring, listeners, configuration, command line.

mod admin_client;
mod answers;
mod check;
mod drain;
mod identity;
mod log;
mod machine;
mod media_half;
mod ng_stream;
mod notify;
mod records;
mod relay;
mod reload;
mod settings;
mod signals;
mod sip_smime;
mod sip_start;
mod user;
mod web_phone;

use std::process::ExitCode;

use clap::Parser;

use crate::log::Log;
use crate::settings::{Arguments, Chore, CommandLine, Role, Settings, UserOrder};

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let outcome = match &line.chore {
        None => serve(line.arguments),
        Some(Chore::Signal(arguments)) => serve(arguments.of(Role::Signal)),
        Some(Chore::Pump(arguments)) => serve(arguments.of(Role::Pump)),
        Some(Chore::Check { file }) => check::check(file),
        Some(Chore::User { order: UserOrder::Add { name, realm } }) => user::add(name, realm),
        Some(Chore::Drain { admin }) => drain::ask(*admin),
        Some(Chore::Explain { call_id, admin, json }) => admin_client::print_call(*admin, call_id, *json),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sallyport: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: Arguments) -> anyhow::Result<()> {
    let settings = Settings::gather(&arguments, None)?;
    let log = Log::begin(&settings.live.log_level, settings.fixed.log_format)?;
    match settings.fixed.role {
        Role::Both | Role::Signal => relay::run(arguments, settings, log),
        Role::Pump => media_half::run(&settings),
    }
}
