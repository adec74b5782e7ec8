// Fetch a file from beside this page, and say how much of it is here.

export async function download(path, size, onProgress) {
  const response = await request(path);
  const bytes = new Uint8Array(size);
  const reader = response.body.getReader();
  let received = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (received + value.length <= size) bytes.set(value, received);
    received += value.length;
    onProgress(Math.min(received / size, 1));
  }
  if (received !== size) {
    throw new Error(`${path} has ${received} bytes instead of ${size}.`);
  }
  return bytes;
}

export async function readJson(path) {
  return (await request(path)).json();
}

async function request(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: ${response.status} from the server.`);
  return response;
}
