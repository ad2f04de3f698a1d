//! Certificates by the `openssl` program.

use std::process::Command;

use anyhow::ensure;

use crate::folder::Folder;

/// Runs it in this folder, with words that blanks separate, and gives what it prints.
pub fn openssl(folder: &Folder, words: &str) -> anyhow::Result<Vec<u8>> {
    let output = Command::new("openssl").current_dir(folder.path()).args(words.split(' ')).output()?;
    ensure!(output.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// Makes an authority: `root.pem` and `root.key`.
pub fn make_authority(folder: &Folder) -> anyhow::Result<()> {
    make(folder, "root", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign", "")
}

/// Makes `NAME.pem` and `NAME.key`, by the authority, for this alternative name: `URI:sip:alice@example.com`,
/// `IP:192.0.2.1` …
pub fn certify(folder: &Folder, name: &str, alternative_name: &str) -> anyhow::Result<()> {
    let extensions = format!(
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature,keyEncipherment,keyAgreement\n\
         subjectAltName={alternative_name}"
    );
    make(folder, name, &extensions, " -CA root.pem -CAkey root.key")
}

fn make(folder: &Folder, name: &str, extensions: &str, issuer: &str) -> anyhow::Result<()> {
    let text = format!(
        "[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nCN={name}\n[ext]\n\
         subjectKeyIdentifier=hash\n{extensions}\n"
    );
    folder.write(&format!("{name}.cnf"), text)?;
    openssl(folder, &format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key"))?;
    openssl(folder, &format!("req -x509 -new -key {name}.key -config {name}.cnf -out {name}.pem -days 30{issuer}"))?;
    Ok(())
}
