//! Real SIP peers against the server's own SIP, without an SBC between.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use sallyport_tests::folder::Folder;
use sallyport_tests::linphone::{Linphone, MediaEncryption, Registration};
use sallyport_tests::namespace::{self, ADDRESS};
use sallyport_tests::server::Server;
use sallyport_tests::until;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(15);
const REALM: &str = "sallyport";
const PASSWORD: &str = "open-sesame";
const CALLER_TONE: f64 = 440.0;
const CALLEE_TONE: f64 = 880.0;

/// Calls by sipp: each is challenged, answered, put on hold and ended.
fn sipp(server: SocketAddr, transport: &str, calls: u32) -> anyhow::Result<()> {
    let folder = Folder::new("sipp")?;
    let users = format!("SEQUENTIAL\nalice;[authentication username=alice password={PASSWORD}]\n");
    let users = folder.write("users.csv", users)?;
    let output = Command::new("sipp")
        .current_dir(folder.path())
        .arg(server.to_string())
        .args(["-sf", concat!(env!("CARGO_MANIFEST_DIR"), "/sipp/echo.xml")])
        .args(["-inf", users.to_str().context("a name in UTF-8")?])
        .args(["-t", transport, "-i", "127.0.0.1", "-r", "25", "-m", &calls.to_string()])
        .args(["-nostdin", "-timeout", "60s", "-timeout_error", "-trace_err"])
        .stdin(Stdio::null())
        .output()
        .context("sipp (Debian package sip-tester)")?;
    let errors = std::fs::read_dir(folder.path())?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().ends_with("_errors.log"));
    let errors: String = errors.filter_map(|entry| std::fs::read_to_string(entry.path()).ok()).collect();
    ensure!(output.status.success(), "sipp: {}\n{errors}", output.status);
    Ok(())
}

/// sipp knows MD5 alone, and of several challenges it answers the first.
#[test]
fn sipp_calls_echo_over_udp_and_tcp_with_md5() {
    let scenario = || -> anyhow::Result<()> {
        let flags = ["--media", "127.0.0.1", "--ports", "27200-27999"];
        let server = Server::start_for(&["alice"], PASSWORD, "algorithms = [\"MD5\"]", &flags)?;
        for (transport, option) in [("udp", "u1"), ("tcp", "t1")] {
            sipp(server.sip_over(transport)?, option, 50)?;
        }
        ensure!(server.metric("sallyport_sip_calls_answered_total", "")? == 100.0);
        ensure!(server.metric("sallyport_sip_logins_total", "MD5")? == 100.0);
        until("no call is left", PATIENCE, || Ok(server.metric("sallyport_sip_calls", "")? == 0.0))?;
        until("no port is left", PATIENCE, || Ok(server.metric("sallyport_ports_in_use", "")? == 0.0))?;
        Ok(())
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}

/// Of the default addresses one is taken: everything else is served all the same.
#[test]
fn a_default_address_that_is_taken_turns_sip_off_and_says_so() {
    if !namespace::is_permitted() {
        return;
    }
    let scenario = || -> anyhow::Result<()> {
        namespace::enter()?;
        let _taken = std::net::UdpSocket::bind("127.0.0.1:5060")?;
        let mut child = Command::new(sallyport_tests::server::built_beside_this()?)
            .args(["--media", "127.0.0.1", "--workers", "1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("piped")?).lines().map_while(Result::ok);
        let introduction: Vec<String> = lines.by_ref().take_while(|line| !line.starts_with("try ")).collect();
        child.kill()?;
        let errors = String::from_utf8(child.wait_with_output()?.stderr)?;
        ensure!(introduction.iter().any(|line| line == "sip      off"), "{introduction:?}");
        ensure!(introduction.iter().any(|line| line.starts_with("ng ")), "{introduction:?}");
        ensure!(errors.contains("UDP 127.0.0.1:5060, where SIP is served by default, is taken"), "{errors}");
        Ok(())
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}

fn phone(
    server: &Server,
    user: &str,
    port: u16,
    encryption: MediaEncryption,
    answers: bool,
) -> anyhow::Result<Linphone> {
    let registrar = server.sip()?.to_string();
    let account = Registration { user, password: PASSWORD, realm: REALM, registrar: &registrar };
    Linphone::start_registered(&account, ADDRESS, port, encryption, answers)
}

/// Both speak, and each hears the other.
fn both_hear(caller: &mut Linphone, callee: &mut Linphone) -> anyhow::Result<()> {
    for phone in [&*caller, &*callee] {
        phone.wait_for("LinphoneCallStreamsRunning", PATIENCE)?;
    }
    caller.play(CALLER_TONE)?;
    callee.play(CALLEE_TONE)?;
    caller.wait_for_tone(CALLEE_TONE, PATIENCE)?;
    callee.wait_for_tone(CALLER_TONE, PATIENCE)
}

fn hang_up(server: &Server, caller: &mut Linphone) -> anyhow::Result<()> {
    ensure!(server.metric("sallyport_sip_calls", "")? == 1.0);
    caller.command("terminate")?;
    until("the call ends with its BYE", PATIENCE, || Ok(server.metric("sallyport_sip_calls", "")? == 0.0))?;
    until("no port is left", PATIENCE, || Ok(server.metric("sallyport_ports_in_use", "")? == 0.0))
}

/// Why there is no audio.
fn explanation(server: &Server) -> String {
    let calls = server.page("/calls").unwrap_or_default();
    let id = calls.split("\"sip-").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    server.page(&format!("/calls/sip-{id}")).unwrap_or_else(|error| error.to_string())
}

#[test]
fn two_linphones_register_and_hear_each_other_before_and_after_a_hold() {
    if !namespace::is_permitted() {
        return;
    }
    let scenario = || -> anyhow::Result<()> {
        namespace::enter()?;
        let server = Server::start_for(
            &["alice", "bob"],
            PASSWORD,
            "",
            &["--media", ADDRESS, "--sip", &format!("{ADDRESS}:5060")],
        )?;
        let mut caller = phone(&server, "alice", 5081, MediaEncryption::Sdes, false)?;
        let mut callee = phone(&server, "bob", 5082, MediaEncryption::Sdes, true)?;
        ensure!(server.metric("sallyport_sip_contacts", "")? == 2.0);
        caller.command(&format!("call sip:bob@{ADDRESS}:5060"))?;
        both_hear(&mut caller, &mut callee)?;
        // A hold and its end are re-INVITEs.
        caller.command("pause")?;
        callee.wait_for("LinphoneCallPausedByRemote", PATIENCE)?;
        caller.wait_for("to LinphoneCallPaused", PATIENCE)?;
        caller.command("resume")?;
        both_hear(&mut caller, &mut callee)?;
        ensure!(server.metric("sallyport_sip_cleartext_keys_total", "warned")? >= 2.0, "SDES over UDP is told");
        hang_up(&server, &mut caller)?;
        ensure!(server.stop()?.success());
        Ok(())
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}

/// The ledger of each call tells both keyings. As DTLS server this phone takes a ClientHello of one datagram only, and we
/// are its client where it calls: we answer `active`.
#[test]
fn an_sdes_phone_and_a_dtls_phone_hear_each_other_whichever_calls() {
    if !namespace::is_permitted() {
        return;
    }
    let scenario = || -> anyhow::Result<()> {
        namespace::enter()?;
        let sip = format!("{ADDRESS}:5060");
        let lines = format!(
            "routes = [{{ user = \"dtls\", to = \"trunk:dtls\" }}, {{ user = \"*\", to = \"registered\" }}]\n\
             trunks = [{{ name = \"dtls\", uri = \"sip:{ADDRESS}:5082\", keying = \"dtls\" }}]"
        );
        let server =
            Server::start_for(&["alice", "carol", "dave"], PASSWORD, &lines, &["--media", ADDRESS, "--sip", &sip])?;
        let mut alice = phone(&server, "alice", 5081, MediaEncryption::Sdes, false)?;
        let mut dtls = Linphone::start("dtls", ADDRESS, 5082, MediaEncryption::Dtls, true)?;
        let mut carol = phone(&server, "carol", 5083, MediaEncryption::Dtls, false)?;
        let mut dave = phone(&server, "dave", 5084, MediaEncryption::Sdes, true)?;
        for (caller, to, callee) in [(&mut alice, "dtls", &mut dtls), (&mut carol, "dave", &mut dave)] {
            caller.command(&format!("call sip:{to}@{sip}"))?;
            both_hear(caller, callee).with_context(|| explanation(&server))?;
            let told = explanation(&server);
            for keying in ["SDES", "DTLSv1.2"] {
                ensure!(told.contains(keying), "{keying} is not in {told}");
            }
            hang_up(&server, caller)?;
        }
        ensure!(server.metric("sallyport_dtls_handshakes_total", "completed")? >= 2.0, "by DTLS");
        Ok(())
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}

/// linphone knows no OSRTP: keys of two kinds under RTP/AVP must not disturb it.
#[test]
fn a_phone_that_passes_over_the_keys_of_osrtp_is_heard_and_the_ledger_says_so() {
    if !namespace::is_permitted() {
        return;
    }
    let scenario = || -> anyhow::Result<()> {
        namespace::enter()?;
        let sip = format!("{ADDRESS}:5060");
        let flags = ["--media", ADDRESS, "--sip", &sip];
        let server = Server::start_for(&["alice", "bob"], PASSWORD, "phones = \"osrtp\"", &flags)?;
        let mut caller = phone(&server, "alice", 5081, MediaEncryption::Sdes, false)?;
        let mut callee = phone(&server, "bob", 5082, MediaEncryption::None, true)?;
        caller.command(&format!("call sip:bob@{sip}"))?;
        both_hear(&mut caller, &mut callee).with_context(|| explanation(&server))?;
        let told = explanation(&server);
        ensure!(told.contains("opportunistic SRTP by OSRTP: declined, plain RTP"), "{told}");
        hang_up(&server, &mut caller)
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn linphone_hears_itself_when_it_calls_echo() {
    if !namespace::is_permitted() {
        return;
    }
    let scenario = || -> anyhow::Result<()> {
        namespace::enter()?;
        let server =
            Server::start_for(&["alice"], PASSWORD, "", &["--media", ADDRESS, "--sip", &format!("{ADDRESS}:5060")])?;
        let mut caller = phone(&server, "alice", 5081, MediaEncryption::Sdes, false)?;
        caller.command(&format!("call sip:echo@{ADDRESS}:5060"))?;
        caller.wait_for("LinphoneCallStreamsRunning", PATIENCE)?;
        caller.play(CALLER_TONE)?;
        let heard = caller.wait_for_tone(CALLER_TONE, PATIENCE);
        heard.with_context(|| explanation(&server))?;
        hang_up(&server, &mut caller)
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}

/// Lines of JSON, one for each call that has ended.
fn records(file: &Path) -> anyhow::Result<Vec<Value>> {
    let text = std::fs::read_to_string(file)?;
    text.lines().map(|line| serde_json::from_str(line).context("a line of JSON")).collect()
}

#[test]
fn records_say_whose_call_it_was_which_way_it_went_and_who_ended_it() {
    if !namespace::is_permitted() {
        return;
    }
    let scenario = || -> anyhow::Result<()> {
        namespace::enter()?;
        let folder = Folder::new("records")?;
        let file = folder.path().join("records");
        let records_flag = file.to_str().context("a name in UTF-8")?;
        let sip = format!("{ADDRESS}:5060");
        let flags = ["--media", ADDRESS, "--sip", &sip, "--records", records_flag];
        let server = Server::start_for(&["alice", "bob"], PASSWORD, "", &flags)?;
        let mut alice = phone(&server, "alice", 5081, MediaEncryption::Sdes, false)?;
        let mut bob = phone(&server, "bob", 5082, MediaEncryption::Sdes, true)?;
        alice.command(&format!("call sip:bob@{sip}"))?;
        both_hear(&mut alice, &mut bob)?;
        let page = explanation(&server);
        ensure!(page.contains("\"sip\":{") && page.contains("\"user\":\"bob\""), "{page}");
        bob.command("terminate")?;
        until("a record of the call", PATIENCE, || Ok(records(&file)?.len() == 1))?;
        let record = records(&file)?.remove(0);
        let sip_part = &record["sip"];
        ensure!(record["reason"] == "deleted" && !record["legs"][1].is_null(), "the media are in it: {record}");
        ensure!(sip_part["caller"]["user"] == "alice" && sip_part["caller"]["transport"] == "UDP", "{record}");
        ensure!(sip_part["caller"]["address"] == format!("{ADDRESS}:5081"), "{record}");
        ensure!(sip_part["called"][0]["user"] == "bob" && sip_part["called"][0]["status"] == 200, "{record}");
        ensure!(sip_part["route"] == "* → registered" && sip_part["uri"] == format!("sip:bob@{sip}"), "{record}");
        ensure!(sip_part["status"] == 200 && sip_part["ended_by"] == "called", "{record}");
        let moment = |name: &str| sip_part[name].as_f64().with_context(|| format!("{name} in {record}"));
        let moments = ["invited", "answered", "ended"].map(moment).into_iter().collect::<anyhow::Result<Vec<f64>>>()?;
        ensure!(moments.is_sorted() && moments[2] - moments[1] > 0.5, "{record}");
        ensure!(
            !record.to_string().contains("inline:") && !record.to_string().contains(PASSWORD),
            "no secrets: {record}"
        );

        // One that came to nothing. A linphone whose call is not over yet makes no other.
        alice.wait_for("LinphoneCallReleased", PATIENCE)?;
        alice.command(&format!("call sip:nobody@{sip}"))?;
        until("a record of the failure", PATIENCE, || Ok(records(&file)?.len() == 2))?;
        let record = records(&file)?.remove(1);
        let sip_part = &record["sip"];
        ensure!(record["reason"] == "failed" && record["legs"].as_array().is_some_and(Vec::is_empty), "{record}");
        ensure!(sip_part["status"] == 404 && sip_part["ended_by"] == "server", "{record}");
        ensure!(sip_part["caller"]["user"] == "alice", "{record}");
        Ok(())
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}
