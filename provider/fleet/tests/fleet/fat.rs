//! A reader of small FAT volumes, written from the format's description and sharing nothing with whoever made them.

use std::collections::BTreeMap;

/// Which entries of a directory are what.
const LONG_NAME: u8 = 0x0f;
const VOLUME: u8 = 0x08;
const DIRECTORY: u8 = 0x10;

/// The label of a volume, and the files in its root.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) label: String,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

fn word(bytes: &[u8], at: usize) -> usize {
    usize::from(bytes[at]) | usize::from(bytes[at + 1]) << 8
}

/// Reads a FAT12 volume of which only the first bytes may be there.
pub(crate) fn read(image: &[u8]) -> Volume {
    assert_eq!(&image[510..512], [0x55, 0xaa], "a boot sector");
    let sector = word(image, 11);
    let cluster = sector * usize::from(image[13]);
    let fat = sector * word(image, 14);
    let root = fat + sector * word(image, 22) * usize::from(image[16]);
    let entries = word(image, 17);
    let data = root + 32 * entries;
    let sectors = match word(image, 19) {
        0 => word(image, 32) | word(image, 34) << 16,
        few => few,
    };
    assert!((sectors * sector - data) / cluster < 4085, "FAT12 by its clusters");
    let next = |at: usize| match (word(image, fat + at + at / 2), at % 2) {
        (pair, 0) => pair & 0xfff,
        (pair, _) => pair >> 4,
    };
    let content = |first: usize, length: usize| {
        let mut bytes = Vec::new();
        let mut at = first;
        while (2..0xff8).contains(&at) {
            let begin = data + (at - 2) * cluster;
            bytes.extend_from_slice(&image[begin..(begin + cluster).min(image.len())]);
            at = next(at);
        }
        bytes[..length].to_vec()
    };
    let mut volume = Volume {
        label: String::new(),
        files: BTreeMap::new(),
    };
    let mut long = String::new();
    for entry in image[root..data].chunks(32).take_while(|entry| entry[0] != 0) {
        let attributes = entry[11];
        if entry[0] == 0xe5 {
            continue;
        }
        if attributes == LONG_NAME {
            long = long_name(entry) + &long;
        } else if attributes & VOLUME != 0 {
            volume.label = String::from_utf8_lossy(&entry[..11]).trim_end().to_owned();
        } else {
            assert_eq!(attributes & DIRECTORY, 0, "no directories");
            let length = word(entry, 28) | word(entry, 30) << 16;
            let name = std::mem::take(&mut long);
            volume.files.insert(name, content(word(entry, 26), length));
        }
    }
    volume
}

/// The part of a long name that one entry holds.
fn long_name(entry: &[u8]) -> String {
    let letters = [1..11, 14..26, 28..32]
        .into_iter()
        .flat_map(|range| entry[range].chunks(2));
    let letters = letters.map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let name: Vec<u16> = letters.take_while(|letter| *letter != 0 && *letter != 0xffff).collect();
    String::from_utf16(&name).unwrap()
}
