//! The Proxy-Wasm ABI 0.2.1, as far as the filter uses it, without a panic.
//!
//! The SDK turns every status it does not expect into a panic (`hostcalls.rs` of 0.2.5), and a panic
//! takes the worker's VM down with all requests in it. Here each status comes back as a value, and
//! header values stay bytes. It also gives the monotonic clock, which the SDK does not offer.
#![allow(
    unsafe_code,
    reason = "calls of a foreign interface; each wrapper below is safe for any argument"
)]

use std::ptr;

use crate::host::Refused;

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const MONOTONIC: u32 = 1;

/// Which of a stream's header maps is meant.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Map {
    RequestHeaders = 0,
    ResponseHeaders = 2,
}

/// Which buffer is meant.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Buffer {
    RequestBody = 0,
    ResponseBody = 1,
    StreamMessage = 5,
    Configuration = 7,
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: u32, pairs: *mut *mut u8, pairs_size: *mut usize) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        size: usize,
        data: *mut *mut u8,
        data_size: *mut usize,
    ) -> u32;
    fn proxy_set_buffer_bytes(
        buffer: u32,
        start: usize,
        size: usize,
        data: *const u8,
        data_size: usize,
    ) -> u32;
    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
    ) -> u32;
    fn proxy_set_property(
        path: *const u8,
        path_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        cas: u32,
    ) -> u32;
    fn proxy_register_shared_queue(name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_enqueue_shared_queue(id: u32, value: *const u8, value_size: usize) -> u32;
    fn proxy_dequeue_shared_queue(id: u32, value: *mut *mut u8, value_size: *mut usize) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_grpc_send(
        token: u32,
        message: *const u8,
        message_size: usize,
        end_of_stream: u32,
    ) -> u32;
    fn proxy_grpc_cancel(token: u32) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_get_metric(id: u32, value: *mut u64) -> u32;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u32;
}

/// Bytes that the host returned: allocated through the exported allocator of the SDK, which hands
/// out boxed slices of exactly the size asked for.
struct Returned {
    data: *mut u8,
    size: usize,
}

impl Returned {
    const fn empty() -> Self {
        Self {
            data: ptr::null_mut(),
            size: 0,
        }
    }

    fn take(self) -> Vec<u8> {
        if self.data.is_null() {
            return Vec::new();
        }
        // SAFETY: a pointer that the host set came from `proxy_on_memory_allocate`, which leaks a
        // boxed slice of `size` bytes to it; this is the only place that takes it back, once.
        unsafe { Vec::from_raw_parts(self.data, self.size, self.size) }
    }
}

const fn checked(status: u32) -> Result<(), Refused> {
    if status == OK {
        Ok(())
    } else {
        Err(Refused(status))
    }
}

pub(crate) fn header(map: Map, name: &str) -> Option<Vec<u8>> {
    let mut value = Returned::empty();
    // SAFETY: the pointers are valid for their lengths during the call.
    let status = unsafe {
        proxy_get_header_map_value(
            map as u32,
            name.as_ptr(),
            name.len(),
            &raw mut value.data,
            &raw mut value.size,
        )
    };
    (status == OK).then(|| value.take())
}

/// All pairs in the ABI's serialised form.
pub(crate) fn headers(map: Map) -> Vec<u8> {
    let mut pairs = Returned::empty();
    // SAFETY: the pointers are valid during the call.
    let status =
        unsafe { proxy_get_header_map_pairs(map as u32, &raw mut pairs.data, &raw mut pairs.size) };
    if status == OK {
        pairs.take()
    } else {
        Vec::new()
    }
}

pub(crate) fn replace_header(map: Map, name: &str, value: &[u8]) -> Result<(), Refused> {
    // SAFETY: the pointers are valid for their lengths during the call.
    checked(unsafe {
        proxy_replace_header_map_value(
            map as u32,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    })
}

pub(crate) fn remove_header(map: Map, name: &str) -> Result<(), Refused> {
    // SAFETY: the pointer is valid for its length during the call.
    let status = unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) };
    if status == NOT_FOUND {
        return Ok(());
    }
    checked(status)
}

pub(crate) fn buffer(buffer: Buffer, start: usize, size: usize) -> Vec<u8> {
    let mut data = Returned::empty();
    // SAFETY: the pointers are valid during the call.
    let status = unsafe {
        proxy_get_buffer_bytes(
            buffer as u32,
            start,
            size,
            &raw mut data.data,
            &raw mut data.size,
        )
    };
    if status == OK {
        data.take()
    } else {
        Vec::new()
    }
}

/// Puts `data` in place of the buffer's first `size` bytes.
pub(crate) fn replace_begin(buffer: Buffer, size: usize, data: &[u8]) -> Result<(), Refused> {
    // SAFETY: the pointer is valid for its length during the call.
    checked(unsafe { proxy_set_buffer_bytes(buffer as u32, 0, size, data.as_ptr(), data.len()) })
}

pub(crate) fn property(path: &[u8]) -> Option<Vec<u8>> {
    let mut value = Returned::empty();
    // SAFETY: the pointers are valid for their lengths during the call.
    let status = unsafe {
        proxy_get_property(
            path.as_ptr(),
            path.len(),
            &raw mut value.data,
            &raw mut value.size,
        )
    };
    (status == OK && !value.data.is_null()).then(|| value.take())
}

pub(crate) fn set_property(path: &[u8], value: &[u8]) -> Result<(), Refused> {
    // SAFETY: the pointers are valid for their lengths during the call.
    checked(unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) })
}

/// The value (empty when there is none) and the guard, if the key exists.
pub(crate) fn shared(key: &str) -> (Vec<u8>, Option<u32>) {
    let mut value = Returned::empty();
    let mut cas = 0;
    // SAFETY: the pointers are valid for their lengths during the call.
    let status = unsafe {
        proxy_get_shared_data(
            key.as_ptr(),
            key.len(),
            &raw mut value.data,
            &raw mut value.size,
            &raw mut cas,
        )
    };
    if status == OK {
        (value.take(), Some(cas))
    } else {
        (Vec::new(), None)
    }
}

/// `guard` 0 writes unconditionally.
pub(crate) fn set_shared(key: &str, value: &[u8], guard: u32) -> Result<(), Refused> {
    // SAFETY: the pointers are valid for their lengths during the call.
    checked(unsafe {
        proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), guard)
    })
}

pub(crate) fn register_queue(name: &str) -> Result<u32, Refused> {
    let mut id = 0;
    // SAFETY: the pointers are valid for their lengths during the call.
    checked(unsafe { proxy_register_shared_queue(name.as_ptr(), name.len(), &raw mut id) })?;
    Ok(id)
}

pub(crate) fn enqueue(queue: u32, value: &[u8]) -> Result<(), Refused> {
    // SAFETY: the pointer is valid for its length during the call.
    checked(unsafe { proxy_enqueue_shared_queue(queue, value.as_ptr(), value.len()) })
}

pub(crate) fn dequeue(queue: u32) -> Option<Vec<u8>> {
    let mut value = Returned::empty();
    // SAFETY: the pointers are valid during the call.
    let status =
        unsafe { proxy_dequeue_shared_queue(queue, &raw mut value.data, &raw mut value.size) };
    (status == OK).then(|| value.take())
}

/// `headers` in the ABI's serialised form.
pub(crate) fn local_response(status: u32, headers: &[u8], body: &[u8]) -> Result<(), Refused> {
    const NOT_GRPC: i32 = -1;
    // SAFETY: the pointers are valid for their lengths during the call.
    checked(unsafe {
        proxy_send_local_response(
            status,
            ptr::null(),
            0,
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            NOT_GRPC,
        )
    })
}

pub(crate) fn set_effective_context(context: u32) -> Result<(), Refused> {
    // SAFETY: no pointers.
    checked(unsafe { proxy_set_effective_context(context) })
}

pub(crate) fn continue_request() -> Result<(), Refused> {
    const HTTP_REQUEST: u32 = 0;
    // SAFETY: no pointers.
    checked(unsafe { proxy_continue_stream(HTTP_REQUEST) })
}

pub(crate) fn set_tick_period(period_ms: u32) -> Result<(), Refused> {
    // SAFETY: no pointers.
    checked(unsafe { proxy_set_tick_period_milliseconds(period_ms) })
}

pub(crate) fn grpc_send(token: u32, message: &[u8]) -> Result<(), Refused> {
    // SAFETY: the pointer is valid for its length during the call.
    checked(unsafe { proxy_grpc_send(token, message.as_ptr(), message.len(), 0) })
}

pub(crate) fn grpc_cancel(token: u32) -> Result<(), Refused> {
    // SAFETY: no pointers.
    checked(unsafe { proxy_grpc_cancel(token) })
}

pub(crate) fn define_metric(kind: u32, name: &str) -> Result<u32, Refused> {
    let mut id = 0;
    // SAFETY: the pointers are valid for their lengths during the call.
    checked(unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) })?;
    Ok(id)
}

pub(crate) fn increment_metric(id: u32, offset: i64) -> Result<(), Refused> {
    // SAFETY: no pointers.
    checked(unsafe { proxy_increment_metric(id, offset) })
}

pub(crate) fn record_metric(id: u32, value: u64) -> Result<(), Refused> {
    // SAFETY: no pointers.
    checked(unsafe { proxy_record_metric(id, value) })
}

pub(crate) fn metric(id: u32) -> Option<u64> {
    let mut value = 0;
    // SAFETY: the pointer is valid during the call.
    let status = unsafe { proxy_get_metric(id, &raw mut value) };
    (status == OK).then_some(value)
}

/// Nanoseconds of the host's monotonic clock; 0 when it has none.
pub(crate) fn monotonic_nanos() -> u64 {
    let mut nanos = 0;
    // SAFETY: the pointer is valid during the call.
    let errno = unsafe { clock_time_get(MONOTONIC, 1, &raw mut nanos) };
    if errno == 0 { nanos } else { 0 }
}
