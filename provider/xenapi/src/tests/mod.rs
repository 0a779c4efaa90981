//! Tests of the whole client against a scripted server, each over both wires.

/// Makes two tests of each case, one over each wire.
macro_rules! over_both_wires {
    ($($case:ident),+ $(,)?) => {
        mod json {
            $(#[tokio::test] async fn $case() { super::$case(crate::Wire::Json).await; })+
        }

        mod xml {
            $(#[tokio::test] async fn $case() { super::$case(crate::Wire::Xml).await; })+
        }
    };
}

mod calls;
mod events;
mod fallback;
mod hostile;
mod names;
mod properties;
mod said;
mod server;
mod sessions;
mod shapes;
mod tasks;
mod tls;
