//! What the fake answers to the filter, as Envoy does.

use super::{BAD_ARGUMENT, FakeHost, FakeStream, PARSE_FAILURE, serialised};
use crate::{
    headers::HeaderMap,
    host::{Host, MetricId, MetricKind, QueueId, Refused, Shared, StreamToken, WriteError},
};
use picker::Entropy;

impl Host for FakeHost {
    fn monotonic_nanos(&self) -> u64 {
        self.called();
        let nanos = &self.envoy.0.nanos;
        nanos.set(nanos.get() + self.envoy.0.nanos_a_look.get());
        nanos.get()
    }

    fn random(&self) -> u64 {
        self.entropy.borrow_mut().next_u64()
    }

    fn configuration(&self) -> Vec<u8> {
        self.configuration.borrow().clone()
    }

    fn tick_every(&self, period_ms: u32) {
        self.tick_ms.set(period_ms);
    }

    fn request_headers(&self) -> HeaderMap {
        let pairs = self.with_context(|context| context.request_headers.clone());
        let pairs = pairs.flatten().unwrap_or_default();
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
            .collect();
        HeaderMap::new(serialised(&pairs))
    }

    fn request_header(&self, name: &str) -> Option<Vec<u8>> {
        self.with_context(|context| {
            let headers = context.request_headers.as_ref()?;
            let found = headers.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        })?
    }

    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), Refused> {
        self.with_context(|context| {
            let headers = context.request_headers.as_mut().ok_or(BAD_ARGUMENT)?;
            headers.retain(|(known, _)| known != name);
            headers.push((name.to_owned(), value.to_vec()));
            Ok(())
        })
        .unwrap_or(Err(BAD_ARGUMENT))
    }

    fn remove_request_header(&self, name: &str) -> Result<(), Refused> {
        self.with_context(|context| {
            let headers = context.request_headers.as_mut().ok_or(BAD_ARGUMENT)?;
            headers.retain(|(known, _)| known != name);
            Ok(())
        })
        .unwrap_or(Err(BAD_ARGUMENT))
    }

    fn request_body(&self, start: usize, length: usize) -> Vec<u8> {
        self.with_context(|context| {
            let body = context.body.get(start..).unwrap_or_default();
            body[..length.min(body.len())].to_vec()
        })
        .unwrap_or_default()
    }

    fn response_body(&self, start: usize, length: usize) -> Vec<u8> {
        self.reads.set(self.reads.get() + 1);
        self.with_context(|context| {
            let body = context.response_body.get(start..).unwrap_or_default();
            body[..length.min(body.len())].to_vec()
        })
        .unwrap_or_default()
    }

    fn replace_request_body(&self, length: usize, bytes: &[u8]) -> Result<(), Refused> {
        self.with_context(|context| {
            let length = length.min(context.body.len());
            context.body.splice(..length, bytes.iter().copied());
        })
        .ok_or(BAD_ARGUMENT)
    }

    fn replace_response_body(&self, length: usize, bytes: &[u8]) -> Result<(), Refused> {
        self.with_context(|context| {
            let length = length.min(context.response_body.len());
            context
                .response_body
                .splice(..length, bytes.iter().copied());
        })
        .ok_or(BAD_ARGUMENT)
    }

    fn set_response_header(&self, name: &str, value: &[u8]) -> Result<(), Refused> {
        self.with_context(|context| {
            context.response_headers.retain(|(known, _)| known != name);
            let pair = (name.to_owned(), value.to_vec());
            context.response_headers.push(pair);
        })
        .ok_or(BAD_ARGUMENT)
    }

    fn remove_response_header(&self, name: &str) -> Result<(), Refused> {
        self.with_context(|context| context.response_headers.retain(|(known, _)| known != name))
            .ok_or(BAD_ARGUMENT)
    }

    fn response_header(&self, name: &str) -> Option<Vec<u8>> {
        self.with_context(|context| {
            let headers = &context.response_headers;
            let found = headers.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        })?
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.with_context(|context| context.properties.borrow().get(&path.join("\0")).cloned())?
    }

    fn set_property(&self, path: &[&str], value: &[u8]) -> Result<(), Refused> {
        self.with_context(|context| {
            let mut properties = context.properties.borrow_mut();
            properties.insert(path.join("\0"), value.to_vec());
        })
        .ok_or(BAD_ARGUMENT)
    }

    fn respond(&self, status: u32, pairs: &[(&str, &str)], body: &[u8]) -> Result<(), Refused> {
        self.with_context(|context| match context.reply {
            Some(_) => Err(BAD_ARGUMENT),
            None => {
                context.reply = Some(status);
                let owned =
                    |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
                context.reply_headers = pairs.iter().map(owned).collect();
                context.reply_body = body.to_vec();
                Ok(())
            }
        })
        .unwrap_or(Err(BAD_ARGUMENT))
    }

    fn enter_context(&self, context: u32) -> Result<(), Refused> {
        // 0 is the root context.
        if context != 0 && !self.contexts.borrow().contains_key(&context) {
            return Err(BAD_ARGUMENT);
        }
        self.effective.set(context);
        Ok(())
    }

    fn resume_request(&self) -> Result<(), Refused> {
        self.with_context(|context| context.resumed = true)
            .ok_or(BAD_ARGUMENT)
    }

    fn shared(&self, key: &str) -> Shared {
        self.called();
        match self.envoy.0.shared.borrow().get(key) {
            Some((value, guard)) => Shared {
                value: value.clone(),
                guard: Some(*guard),
            },
            None => Shared::default(),
        }
    }

    fn set_shared(&self, key: &str, value: &[u8]) -> Result<(), Refused> {
        self.called();
        self.envoy.write(key, value);
        Ok(())
    }

    fn replace_shared(&self, key: &str, value: &[u8], seen: &Shared) -> Result<(), WriteError> {
        self.called();
        let now = self.shared(key).guard;
        // As in Envoy: no guard writes unconditionally, and so does any guard on a missing key.
        if seen.guard.is_some() && now.is_some() && seen.guard != now {
            return Err(WriteError::Conflict);
        }
        self.envoy.write(key, value);
        Ok(())
    }

    fn register_queue(&self, name: &str) -> Result<QueueId, Refused> {
        let mut queues = self.envoy.0.queues.borrow_mut();
        let index = queues.iter().position(|(known, _)| known == name);
        let index = index.unwrap_or_else(|| {
            queues.push((name.to_owned(), 0));
            queues.len() - 1
        });
        Ok(QueueId(u32::try_from(index).unwrap()))
    }

    fn enqueue(&self, queue: QueueId) -> Result<(), Refused> {
        self.called();
        self.envoy.0.queues.borrow_mut()[queue.0 as usize].1 += 1;
        Ok(())
    }

    fn dequeue(&self, queue: QueueId) -> bool {
        self.called();
        let mut queues = self.envoy.0.queues.borrow_mut();
        let waiting = &mut queues[queue.0 as usize].1;
        let any = *waiting > 0;
        *waiting = waiting.saturating_sub(1);
        any
    }

    fn open_stream(&self, cluster: &str, _: &str, _: &str) -> Result<StreamToken, Refused> {
        if !self.envoy.0.clusters.borrow().contains(cluster) {
            return Err(PARSE_FAILURE);
        }
        let mut streams = self.envoy.0.streams.borrow_mut();
        streams.push(FakeStream::default());
        Ok(StreamToken(u32::try_from(streams.len() - 1).unwrap()))
    }

    fn send(&self, stream: StreamToken, message: &[u8]) -> Result<(), Refused> {
        let mut streams = self.envoy.0.streams.borrow_mut();
        let stream = streams.get_mut(stream.0 as usize).ok_or(BAD_ARGUMENT)?;
        if stream.reset {
            return Err(BAD_ARGUMENT);
        }
        stream.sent.push(message.to_vec());
        Ok(())
    }

    fn stream_message(&self, length: usize) -> Vec<u8> {
        let message = self.message.borrow();
        message[..length.min(message.len())].to_vec()
    }

    fn reset_stream(&self, stream: StreamToken) {
        if let Some(stream) = self.envoy.0.streams.borrow_mut().get_mut(stream.0 as usize) {
            stream.reset = true;
        }
    }

    fn define_metric(&self, _: MetricKind, name: &str) -> Result<MetricId, Refused> {
        if self.envoy.0.metrics_refused.get() {
            return Err(BAD_ARGUMENT);
        }
        let mut metrics = self.envoy.0.metrics.borrow_mut();
        let index = metrics.iter().position(|(known, _)| known == name);
        let index = index.unwrap_or_else(|| {
            metrics.push((name.to_owned(), 0));
            metrics.len() - 1
        });
        Ok(MetricId(u32::try_from(index).unwrap()))
    }

    fn increment(&self, metric: MetricId, by: u32) {
        self.called();
        self.envoy.0.metrics.borrow_mut()[metric.0 as usize].1 += u64::from(by);
    }

    fn adjust(&self, metric: MetricId, by: i32) {
        self.called();
        let mut metrics = self.envoy.0.metrics.borrow_mut();
        let value = &mut metrics[metric.0 as usize].1;
        *value = value.checked_add_signed(by.into()).unwrap();
    }

    fn record(&self, metric: MetricId, value: u64) {
        self.called();
        self.envoy.0.metrics.borrow_mut()[metric.0 as usize].1 = value;
    }

    fn metric(&self, metric: MetricId) -> Option<u64> {
        self.called();
        let metrics = self.envoy.0.metrics.borrow();
        metrics.get(metric.0 as usize).map(|(_, value)| *value)
    }
}
