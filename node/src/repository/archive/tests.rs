//! Archives as makepkg writes them, and as an enemy would.

use std::fs;
use std::io::Write as _;

use proptest::prelude::*;

use super::*;
use crate::repository::testkit::{Sample, append};

fn read_bytes(bytes: &[u8], limits: &Limits) -> Result<PackageMeta, ArchiveFault> {
    read_stream(bytes, bytes.len() as u64, limits)
}

fn fault(bytes: &[u8]) -> ArchiveFault {
    read_bytes(bytes, &Limits::default()).unwrap_err()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn the_same_package_reads_alike_however_it_is_compressed() {
    let tar = Sample::new("a", "1:1.0-1").lines("depend = b>=2\n").tar();
    let mut seen = Vec::new();
    for bytes in [
        tar.clone(),
        gzip(&tar),
        zstd::encode_all(tar.as_slice(), 3).unwrap(),
    ] {
        let mut meta = read_bytes(&bytes, &Limits::default()).unwrap();
        assert_eq!(meta.compressed_size, bytes.len() as u64);
        assert_eq!(meta.blake3.as_bytes(), blake3::hash(&bytes).as_bytes());
        assert_eq!(
            meta.sha256.as_bytes()[..],
            <sha2::Sha256 as sha2::Digest>::digest(&bytes)[..]
        );
        (meta.compressed_size, meta.blake3, meta.sha256) =
            (0, seen_digest(), pacmesh_protocol::ids::Sha256([0; 32]));
        seen.push(meta);
    }
    assert_eq!(
        seen[0].files,
        ["usr/", "usr/share/", "usr/share/a/", "usr/share/a/version"]
    );
    assert_eq!(seen[0].depends, ["b>=2"]);
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
}

fn seen_digest() -> pacmesh_protocol::ids::Digest {
    pacmesh_protocol::ids::Digest([0; 32])
}

#[test]
fn bytes_behind_the_archive_are_part_of_its_digest() {
    let mut bytes = zstd::encode_all(Sample::new("a", "1-1").tar().as_slice(), 3).unwrap();
    // A skippable frame (RFC 8878, 3.1.2) is what zstd itself may append.
    bytes.extend([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);
    let meta = read_bytes(&bytes, &Limits::default()).unwrap();
    assert_eq!(meta.blake3.as_bytes(), blake3::hash(&bytes).as_bytes());
}

#[test]
fn other_compressions_are_named_in_the_refusal() {
    for (start, name) in [
        (&b"\xfd7zXZ\0\0"[..], "xz"),
        (b"BZh9", "bzip2"),
        (b"LZIP", "lzip"),
        (b"#!/bin/sh", "unknown"),
    ] {
        let text = fault(start).to_string();
        assert!(text.contains(name) && text.contains("PKGEXT"), "{text}");
    }
    assert!(matches!(fault(b""), ArchiveFault::Compression(_)));
}

#[test]
fn an_archive_that_was_cut_short_is_refused() {
    let tar = Sample::new("a", "1-1").tar();
    let whole = zstd::encode_all(tar.as_slice(), 3).unwrap();
    for bytes in [
        &whole[..whole.len() - 3],
        &tar[..tar.len() - 1500],
        &gzip(&tar)[..100],
    ] {
        assert!(matches!(fault(bytes), ArchiveFault::Tar(..)), "{}", fault(bytes));
    }
    let mut damaged = tar;
    damaged[10] ^= 1;
    assert!(matches!(fault(&damaged), ArchiveFault::Tar(..)));
}

#[test]
fn there_is_exactly_one_pkginfo() {
    let mut none = tar::Builder::new(Vec::new());
    append(&mut none, "usr/", &[]);
    assert!(matches!(
        fault(&none.into_inner().unwrap()),
        ArchiveFault::NoPkgInfo
    ));
    let mut sample = Sample::new("a", "1-1");
    sample.files.push((".PKGINFO".into(), b"pkgname = b\n".to_vec()));
    assert!(matches!(fault(&sample.tar()), ArchiveFault::TwoPkgInfos));
}

#[test]
fn inv5_each_bound_is_an_error() {
    let mut sample = Sample::new("a", "1-1");
    sample.files.push(("usr/zeros".into(), vec![0; 100_000]));
    let bytes = zstd::encode_all(sample.tar().as_slice(), 3).unwrap();
    let limits = Limits::default();
    let refused = |limits: Limits| read_bytes(&bytes, &limits).unwrap_err();
    assert!(matches!(
        refused(Limits {
            archive: 100,
            ..limits
        }),
        ArchiveFault::TooLarge(100)
    ));
    assert!(matches!(
        refused(Limits {
            pkginfo: 20,
            ..limits
        }),
        ArchiveFault::Tar(..)
    ));
    assert!(matches!(
        refused(Limits { files: 3, ..limits }),
        ArchiveFault::TooManyFiles { files: 4, .. }
    ));
    assert!(matches!(
        refused(Limits { names: 12, ..limits }),
        ArchiveFault::TooManyFiles { .. }
    ));
    let bomb = Limits {
        unpacked_floor: 4096,
        unpacked_ratio: 2,
        ..limits
    };
    assert!(matches!(refused(bomb), ArchiveFault::Bomb(4096)));
}

#[test]
fn inv5_a_claimed_name_length_takes_no_memory() {
    for kind in [
        tar::EntryType::GNULongName,
        tar::EntryType::XHeader,
        tar::EntryType::XGlobalHeader,
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(1 << 40);
        header.set_cksum();
        assert!(matches!(fault(header.as_bytes()), ArchiveFault::Tar(..)));
    }
}

#[test]
fn inv7_paths_that_leave_the_root_are_refused() {
    for path in ["/etc/passwd", "../x", "usr/../../x"] {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(0);
        header.set_cksum();
        let text = fault(header.as_bytes()).to_string();
        assert!(text.contains(path), "{text}");
    }
}

#[test]
fn names_are_listed_as_bsdtar_prints_them() {
    let cases: [(&[u8], &str); 5] = [
        (b"usr/a\nb", "usr/a\\nb"),
        (b"usr/a\\b", "usr/a\\\\b"),
        ("usr/grün".as_bytes(), "usr/grün"),
        (b"usr/\xffx", "usr/\\377x"),
        (b"usr/\x1b", "usr/\\033"),
    ];
    for (path, line) in cases {
        assert_eq!(listed(path, Kind::File), line);
    }
    assert_eq!(listed(b"usr", Kind::Directory), "usr/");
}

#[test]
fn a_file_name_must_tell_what_is_inside() {
    let home = tempfile::tempdir().unwrap();
    let meta = read(&Sample::new("a-b", "1:1.0-1").write(home.path())).unwrap();
    meta.matches(&"a-b-1:1.0-1-x86_64.pkg.tar.gz".parse().unwrap())
        .unwrap();
    for wrong in [
        "a-c-1:1.0-1-x86_64",
        "a-b-1.0-1-x86_64",
        "a-b-1:1.0-2-x86_64",
        "a-b-1:1.0-1-any",
    ] {
        let wrong = format!("{wrong}.pkg.tar.zst").parse().unwrap();
        assert!(meta.matches(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_refusal_names_the_file() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("notes.txt");
    fs::write(&path, "no package").unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("notes.txt"));
    assert!(matches!(
        read(home.path()).unwrap_err().fault,
        ArchiveFault::Read(_)
    ));
}

#[test]
fn meta_survives_the_codec() {
    let meta = read_bytes(&Sample::new("a", "1-1").tar(), &Limits::default()).unwrap();
    let bytes = pacmesh_protocol::codec::encode(&meta, 1 << 20).unwrap();
    assert_eq!(
        pacmesh_protocol::codec::decode::<PackageMeta>(&bytes, 1 << 20).unwrap(),
        meta
    );
}

proptest! {
    #[test]
    fn inv5_a_damaged_archive_gives_an_error_or_a_package(at in 0_usize..4096, byte: u8, cut in 0_usize..6144) {
        let mut tar = Sample::new("a", "1-1").tar();
        let at = at % tar.len();
        tar[at] = byte;
        let cut = cut.min(tar.len());
        let _ = read_bytes(&tar, &Limits::default());
        let _ = read_bytes(&tar[..cut], &Limits::default());
        let _ = read_bytes(&gzip(&tar)[..cut.min(100)], &Limits::default());
    }
}
