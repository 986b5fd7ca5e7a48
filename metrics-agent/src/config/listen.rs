//! The section `listen`.

use std::{net::SocketAddr, path::PathBuf};

use super::{
    checked::{Listen, TlsFiles},
    section::{Checker, Field, Section},
    values,
};

const DEFAULT_GRPC: ([u8; 4], u16) = ([127, 0, 0, 1], 9002);
const DEFAULT_ADMIN: ([u8; 4], u16) = ([127, 0, 0, 1], 9090);

pub(super) fn read(checker: &mut Checker, field: Option<&Field<'_>>) -> Listen {
    let mut listen = Listen {
        grpc: DEFAULT_GRPC.into(),
        admin: DEFAULT_ADMIN.into(),
        insecure: false,
        tls: None,
    };
    let known = ["grpc", "admin", "insecure", "tls"];
    let Some(section) = field.and_then(|field| checker.section(field, &known)) else {
        return listen;
    };
    let grpc_field = section.get("grpc");
    if let Some(address) = address(checker, grpc_field.as_ref()) {
        listen.grpc = address;
    }
    if let Some(address) = address(checker, section.get("admin").as_ref()) {
        listen.admin = address;
    }
    if let Some(insecure) = section.get("insecure") {
        listen.insecure = checker.boolean(&insecure).unwrap_or(false);
    }
    let tls_field = section.get("tls");
    listen.tls = tls_field.as_ref().and_then(|field| tls(checker, field));
    if !listen.grpc.ip().is_loopback() && !listen.insecure && tls_field.is_none() {
        let place = grpc_field.map_or_else(|| section.place(), |field| field.place());
        checker.mistake(
            place,
            &section.path_of("grpc"),
            format!(
                "{} is not loopback and gRPC would be plaintext: configure listen.tls, or set \
                 listen.insecure: true if the network is trusted",
                listen.grpc
            ),
        );
    }
    if listen.grpc == listen.admin && listen.grpc.port() != 0 {
        checker.mistake(
            section.place(),
            &section.path_of("admin"),
            format!("{} is also listen.grpc", listen.admin),
        );
    }
    listen
}

fn address(checker: &mut Checker, field: Option<&Field<'_>>) -> Option<SocketAddr> {
    let field = field?;
    let text = checker.text(field)?;
    values::listen_address(text)
        .map_err(|why| checker.wrong(field, why))
        .ok()
}

fn tls(checker: &mut Checker, field: &Field<'_>) -> Option<TlsFiles> {
    let section = checker.section(field, &["certificate", "key", "client_ca"])?;
    let certificate = required_path(checker, &section, "certificate");
    let key = required_path(checker, &section, "key");
    let client_ca = section
        .get("client_ca")
        .and_then(|field| path(checker, &field));
    Some(TlsFiles {
        certificate: certificate?,
        key: key?,
        client_ca,
    })
}

fn required_path(checker: &mut Checker, section: &Section<'_>, name: &str) -> Option<PathBuf> {
    let Some(field) = section.get(name) else {
        checker.missing(section, name);
        return None;
    };
    path(checker, &field)
}

fn path(checker: &mut Checker, field: &Field<'_>) -> Option<PathBuf> {
    let text = checker.text(field)?;
    if text.is_empty() || text.contains('\0') {
        checker.wrong(field, "expected the path of a PEM file");
        return None;
    }
    Some(PathBuf::from(text))
}
