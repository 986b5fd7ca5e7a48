//! Messages out are bytes that were encoded already, once for all gateways; messages in are
//! protobuf.

use bytes::{BufMut, Bytes};
use pool_state::proto::GatewayMessage;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, EncodeBuf, Encoder},
};
use tonic_prost::ProstDecoder;

/// Small because there is one buffer a stream; it grows for large snapshots.
const BUFFER_BYTES: usize = 4 << 10;
const YIELD_BYTES: usize = 32 << 10;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PushCodec;

impl Codec for PushCodec {
    type Encode = Bytes;
    type Decode = GatewayMessage;
    type Encoder = BytesEncoder;
    type Decoder = ProstDecoder<GatewayMessage>;

    fn encoder(&mut self) -> Self::Encoder {
        BytesEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(settings())
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct BytesEncoder;

impl Encoder for BytesEncoder {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(message.len());
        buffer.put_slice(&message);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        settings()
    }
}

fn settings() -> BufferSettings {
    BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
}
