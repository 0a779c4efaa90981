//! [`Socket`]: where the host connects, in a directory that only the right people may enter.

use std::{
    fs::{self, DirBuilder, Permissions},
    hash::{BuildHasher, RandomState},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

use crate::environment::Environment;

/// The longest path a socket may have on any system: macOS gives 104 bytes with the final zero, Linux 108.
const LONGEST_PATH: usize = 103;

/// A listening socket and its file, which goes when this goes.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) listener: UnixListener,
    pub(crate) file: SocketFile,
}

/// The file of a socket, and the directory that was made for it.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    directory: Option<PathBuf>,
}

impl SocketFile {
    /// Where the socket is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Nobody is left to tell, and the name is never used again.
        let _ = fs::remove_file(&self.path);
        if let Some(directory) = &self.directory {
            let _ = fs::remove_dir(directory);
        }
    }
}

/// Who may open the socket.
#[derive(Clone, Copy, Debug)]
enum Access {
    Owner,
    Group(u32),
}

impl Socket {
    /// Listens in the place the environment asks for, or, where its path is too long or closed, in `/tmp`.
    pub(crate) fn bind(environment: &Environment) -> io::Result<Socket> {
        let access = match &environment.socket_group {
            Some(group) => Access::Group(group_id(group)?),
            None => Access::Owner,
        };
        let name = format!("plugin{:016x}", RandomState::new().hash_one(std::process::id()));
        let base = environment.socket_directory.join(&name);
        bind_private(&base, access)
            .or_else(|_| bind_bare(&base, access))
            .or_else(|_| bind_private(&Path::new("/tmp").join(&name), access))
    }
}

/// Listens inside a new directory.
fn bind_private(directory: &Path, access: Access) -> io::Result<Socket> {
    let path = fitting(directory.join("s"))?;
    DirBuilder::new().mode(0o700).create(directory)?;
    // From here on the file's drop takes the directory away, also after an error.
    let file = SocketFile {
        path,
        directory: Some(directory.to_owned()),
    };
    let socket = listen(file, access)?;
    if let Access::Group(group) = access {
        chown(directory, None, Some(group))?;
        fs::set_permissions(directory, Permissions::from_mode(0o710))?;
    }
    Ok(socket)
}

/// Listens beside other files.
fn bind_bare(path: &Path, access: Access) -> io::Result<Socket> {
    listen(
        SocketFile {
            path: fitting(path.to_owned())?,
            directory: None,
        },
        access,
    )
}

fn listen(file: SocketFile, access: Access) -> io::Result<Socket> {
    let listener = UnixListener::bind(&file.path)?;
    let mode = match access {
        Access::Owner => 0o600,
        Access::Group(group) => {
            chown(&file.path, None, Some(group))?;
            0o660
        }
    };
    fs::set_permissions(&file.path, Permissions::from_mode(mode))?;
    Ok(Socket { listener, file })
}

fn fitting(path: PathBuf) -> io::Result<PathBuf> {
    if path.as_os_str().as_bytes().len() <= LONGEST_PATH {
        Ok(path)
    } else {
        Err(io::ErrorKind::InvalidFilename.into())
    }
}

/// Finds a group by number or by name. Only `/etc/group` is asked: a name service would need foreign code.
fn group_id(group: &str) -> io::Result<u32> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    let entry = |line: &str| {
        let mut fields = line.split(':');
        (fields.next() == Some(group))
            .then(|| fields.nth(1).and_then(|id| id.parse().ok()))
            .flatten()
    };
    let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("there is no group {group:?}"));
    fs::read_to_string("/etc/group")?
        .lines()
        .find_map(entry)
        .ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn environment(directory: &Path) -> Environment {
        Environment {
            socket_directory: directory.to_owned(),
            ..Environment::default()
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path)
            .map(|metadata| metadata.mode() & 0o777)
            .unwrap_or_default()
    }

    #[tokio::test]
    async fn only_the_owner_may_enter_and_nothing_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let socket = Socket::bind(&environment(directory.path())).unwrap();
        let path = socket.file.path().to_owned();
        assert!(path.starts_with(directory.path()));
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        drop(socket);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_group_may_open_the_socket() {
        let directory = tempfile::tempdir().unwrap();
        let group = fs::metadata(directory.path()).unwrap().gid();
        let socket = Socket::bind(&Environment {
            socket_group: Some(group.to_string()),
            ..environment(directory.path())
        })
        .unwrap();
        let path = socket.file.path();
        assert_eq!((mode(path), fs::metadata(path).unwrap().gid()), (0o660, group));
        assert_eq!(mode(path.parent().unwrap()), 0o710);
    }

    #[tokio::test]
    async fn a_path_that_is_nearly_too_long_does_without_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let name = "plugin0123456789abcdef".len();
        let length = LONGEST_PATH - directory.path().as_os_str().len() - 2 - name;
        let long = directory.path().join("x".repeat(length));
        fs::create_dir(&long).unwrap();
        let socket = Socket::bind(&environment(&long)).unwrap();
        assert_eq!(socket.file.path().parent(), Some(long.as_path()));
        assert_eq!(mode(socket.file.path()), 0o600);
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_gives_way_to_tmp() {
        let directory = tempfile::tempdir().unwrap();
        let long = directory.path().join("x".repeat(100));
        fs::create_dir(&long).unwrap();
        let socket = Socket::bind(&environment(&long)).unwrap();
        assert!(socket.file.path().starts_with("/tmp"), "{:?}", socket.file.path());
    }

    #[test]
    fn groups_are_found_by_name_and_number() {
        assert_eq!(group_id("0").unwrap(), 0);
        assert_eq!(group_id("root").unwrap(), 0);
        assert_eq!(group_id("no such group").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
