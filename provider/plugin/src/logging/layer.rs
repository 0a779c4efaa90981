//! [`HostLog`]: a tracing layer that writes one line per event, with the fields of the spans around it.

use std::fmt;

use jiff::Timestamp;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::line::Line;

/// Writes events as lines. `W` takes one whole line at a time.
#[derive(Debug)]
pub(super) struct HostLog<W> {
    write: W,
}

impl<W: Fn(&str)> HostLog<W> {
    pub(super) fn new(write: W) -> HostLog<W> {
        HostLog { write }
    }
}

/// Fields by name; the last value given to a name counts.
#[derive(Debug, Default)]
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn put(&mut self, name: &'static str, value: String) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field.name(), value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format!("{value:?}"));
    }
}

impl<S, W> Layer<S> for HostLog<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Fn(&str) + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        if let Some(span) = ctx.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        if let Some(span) = ctx.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in ctx.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(around) = span.extensions().get::<Fields>() {
                around
                    .0
                    .iter()
                    .for_each(|(name, value)| fields.put(name, value.clone()));
            }
        }
        event.record(&mut fields);
        let message = fields
            .0
            .iter()
            .position(|(name, _)| *name == "message")
            .map(|at| fields.0.remove(at).1);
        let line = Line {
            level: *event.metadata().level(),
            time: Timestamp::now(),
            target: event.metadata().target(),
            message: message.as_deref().unwrap_or(event.metadata().name()),
            fields: &fields.0,
        };
        (self.write)(&line.render());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn fields_of_spans_stand_in_each_line_as_strings() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let log = HostLog::new(move |line: &str| sink.lock().unwrap().push(line.to_owned()));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(log), || {
            let call = tracing::info_span!(
                "call",
                tf_rpc = "ReadResource",
                tf_resource_type = tracing::field::Empty
            )
            .entered();
            call.record("tf_resource_type", "corner_box");
            let _step = tracing::info_span!("step", attempt = 1).entered();
            tracing::warn!(target: "corner::client", attempt = 2, busy = true, error = ?Some("x"), "asking again");
        });

        let lines = lines.lock().unwrap();
        let mut line: Value = serde_json::from_str(&lines[0]).unwrap();
        let time = line.as_object_mut().unwrap().remove("@timestamp").unwrap();
        assert_eq!(time.as_str().unwrap().len(), "2026-11-20T10:00:00.123456Z".len());
        assert_eq!(
            line,
            json!({
                "@level": "warn", "@message": "asking again", "@module": "corner.client", "tf_rpc": "ReadResource",
                "tf_resource_type": "corner_box", "attempt": "2", "busy": "true", "error": "Some(\"x\")",
            })
        );
    }
}
