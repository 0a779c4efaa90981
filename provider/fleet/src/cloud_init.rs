//! What cloud-init reads at a server's first boot, and the config drive that carries it: a FAT volume in the layout of the data
//! source NoCloud, made in memory.
//!
//! ```text
//! volume "cidata"    small letters: cloud-init before 19 knows no others
//!   user-data        as it was given; empty without one, for the file must be there
//!   network-config   as it was given, or absent
//!   meta-data        instance-id (the VM's UUID: another VM is another instance), local-hostname
//! ```

use std::io::{self, Cursor, Write as _};

use bytes::Bytes;
use fatfs::{FileSystem, FormatVolumeOptions, FsOptions, format_volume};
use sha2::{Digest as _, Sha256};
use xenapi::{Secret, Uuid};

/// The label, padded as FAT has it.
const LABEL: [u8; 11] = *b"cidata     ";
/// Images are sent in whole pages, which any backend can write.
const PAGE: usize = 4096;
/// The longest label of a host name.
const LONGEST_LABEL: usize = 63;

/// What cloud-init reads at the first boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudInit {
    user_data: Secret,
    network_config: Option<Secret>,
}

impl CloudInit {
    /// The longest user data or network configuration, in bytes.
    pub const LONGEST: usize = 1 << 20;

    /// The size of the drive, in bytes. A multiple of what any storage repository rounds to, so that the disk is as large as it was
    /// asked for; room for the longest of both parts, the tables and a page of meta-data.
    pub const DRIVE_BYTES: usize = 4 << 20;

    /// Takes what was given; nothing, if neither was.
    pub fn new(user_data: Option<&str>, network_config: Option<&str>) -> Option<Self> {
        let given = user_data.or(network_config);
        given.map(|_| Self {
            user_data: user_data.unwrap_or_default().into(),
            network_config: network_config.map(Secret::from),
        })
    }

    /// The SHA-256 of the user data, as a mark may show it.
    pub(crate) fn hash(&self) -> String {
        let digest = Sha256::digest(self.user_data.expose().as_bytes());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    }

    /// The drive's first bytes, up to the last that mean something: what a free cluster holds is nobody's concern.
    ///
    /// # Errors
    /// It does not fit.
    pub(crate) fn image(&self, vm: Uuid, name: &str) -> io::Result<Bytes> {
        let mut volume = vec![0; Self::DRIVE_BYTES];
        format_volume(
            Cursor::new(volume.as_mut_slice()),
            FormatVolumeOptions::new().volume_label(LABEL),
        )?;
        let drive = FileSystem::new(Cursor::new(volume.as_mut_slice()), FsOptions::new())?;
        let put = |file: &str, text: &str| {
            let mut file = drive.root_dir().create_file(file)?;
            file.write_all(text.as_bytes())?;
            file.flush()
        };
        put("user-data", self.user_data.expose())?;
        if let Some(network_config) = &self.network_config {
            put("network-config", network_config.expose())?;
        }
        // The last one, and never empty nor zero: so nothing that means something lies on the pages behind it.
        put("meta-data", &meta_data(vm, name))?;
        drive.unmount()?;
        let empty = volume
            .rchunks_exact(PAGE)
            .take_while(|page| **page == [0; PAGE])
            .count();
        volume.truncate(volume.len() - empty * PAGE);
        Ok(volume.into())
    }
}

/// The instance, and the host name that its server's name gives.
fn meta_data(vm: Uuid, name: &str) -> String {
    let instance = format!("instance-id: \"{vm}\"\n");
    match host_name(name) {
        // In quotes: "123" and "on" are names, too.
        Some(host) => format!("{instance}local-hostname: \"{host}\"\n"),
        None => instance,
    }
}

/// A server's name as a host name; what cannot stand in one becomes a hyphen.
fn host_name(name: &str) -> Option<String> {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let label = |label: &str| -> String {
        let letters: String = label.chars().map(letter).take(LONGEST_LABEL).collect();
        letters.trim_matches('-').to_owned()
    };
    let labels = name.split('.').map(label).filter(|label| !label.is_empty());
    let labels: Vec<String> = labels.collect();
    (!labels.is_empty()).then(|| labels.join("."))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VM: &str = "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10";

    fn image(user_data: Option<&str>, network_config: Option<&str>) -> Bytes {
        let init = CloudInit::new(user_data, network_config).unwrap();
        init.image(VM.parse().unwrap(), "web").unwrap()
    }

    /// Reads a drive as a guest does: the image at its beginning, and anything behind it.
    fn read(image: &[u8], file: &str) -> Option<String> {
        let mut volume = vec![0xa5; CloudInit::DRIVE_BYTES];
        volume[..image.len()].copy_from_slice(image);
        let drive = FileSystem::new(Cursor::new(volume), FsOptions::new()).unwrap();
        assert_eq!(
            drive.read_volume_label_from_root_dir().unwrap().as_deref(),
            Some("cidata")
        );
        let mut text = String::new();
        let mut file = drive.root_dir().open_file(file).ok()?;
        io::Read::read_to_string(&mut file, &mut text).unwrap();
        Some(text)
    }

    #[test]
    fn nothing_given_is_no_drive() {
        assert_eq!(CloudInit::new(None, None), None);
        assert!(CloudInit::new(Some(""), None).is_some());
    }

    #[test]
    fn a_drive_holds_the_files_of_nocloud() {
        let image = image(None, Some("version: 2\n"));
        assert_eq!(read(&image, "user-data").as_deref(), Some(""));
        assert_eq!(read(&image, "network-config").as_deref(), Some("version: 2\n"));
        let meta_data = format!("instance-id: \"{VM}\"\nlocal-hostname: \"web\"\n");
        assert_eq!(read(&image, "meta-data"), Some(meta_data));
        assert_eq!(image.len() % PAGE, 0);
        assert!(image.len() < 64 << 10, "{}", image.len());
    }

    #[test]
    fn the_longest_parts_fit() {
        let longest = "x".repeat(CloudInit::LONGEST);
        let image = image(Some(&longest), Some(&longest));
        assert_eq!(read(&image, "user-data").as_deref(), Some(longest.as_str()));
        assert_eq!(read(&image, "network-config").as_deref(), Some(longest.as_str()));
    }

    #[test]
    fn one_server_has_one_image() {
        assert_eq!(
            image(Some("#cloud-config\n"), None),
            image(Some("#cloud-config\n"), None)
        );
    }

    #[test]
    fn a_name_becomes_a_host_name() {
        let check = |name: &str, expect: Option<&str>| assert_eq!(host_name(name).as_deref(), expect, "{name:?}");
        check("web-1", Some("web-1"));
        check("web.example.org", Some("web.example.org"));
        check("Web server (2) \"x\"", Some("Web-server--2---x"));
        check("..-.", None);
        check(&"ä".repeat(90), None);
        check(&"a".repeat(90), Some(&"a".repeat(63)));
    }

    #[test]
    fn the_hash_is_all_that_shows() {
        let init = CloudInit::new(Some("password: hunter2"), Some("hunter2")).unwrap();
        assert_eq!(
            init.hash(),
            "sha256:f8a178e0213a2d96850911cb2b43af702e04548f1dc8c0a210d79003f470d551"
        );
        assert!(!format!("{init:?}").contains("hunter2"));
    }

    proptest! {
        // Each case makes a volume.
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn what_goes_in_comes_out(user_data in "[\\x00-\\x7fä]{0,9000}", network_config in proptest::option::of("[\\x00a]{0,9000}")) {
            let image = image(Some(&user_data), network_config.as_deref());
            prop_assert_eq!(read(&image, "user-data"), Some(user_data));
            prop_assert_eq!(read(&image, "network-config"), network_config);
        }
    }
}
