-- Reads the log after a position, which is proven by the tag at its offset.
-- ARGV: 3 epoch ('' for the oldest retained), 4 offset, 5 tag, 6 most events, 7 most bytes of
--   frames (one event always fits).
-- Answer: epoch, offset, tag of the top, gap ('' or its reason), then of each event: offset, tag,
--   tag of the event before, time in ms, frame.
-- Cost: O(log n + events).

local CHUNK = 64
local m = load_meta()
touch(m)
local answer = { m.e, text(m.o), m.t, '' }

local function entry(offset)
  local id = text(offset) .. '-0'
  local found = redis.call('XRANGE', KEYS[2], id, id)[1]
  if not found then return nil end
  local fields = {}
  for n = 1, #found[2], 2 do fields[found[2][n]] = found[2][n + 1] end
  return fields
end

-- The offset before the first event that is retained.
local function floor()
  if m.k ~= 'l' then return m.o end
  typed(KEYS[2], 'stream')
  local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  if not first or not entry(m.o) then return m.o end
  local low = math.max(tonumber(string.match(first[1], '^%d+')), m.o - m.z + 1)
  local oldest = now() - m.a
  local head = entry(low)
  if head and tonumber(head.a) >= oldest then return low - 1 end
  local high = m.o + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    local found = entry(middle)
    if found and tonumber(found.a) >= oldest then high = middle else low = middle + 1 end
  end
  redis.call('XTRIM', KEYS[2], 'MINID', text(low))
  return low - 1
end

local from = floor()
if ARGV[3] ~= '' then
  local offset = tonumber(ARGV[4])
  local function gap(reason)
    answer[4] = ARGV[3] == m.e and reason or 'epoch'
    return answer
  end
  if offset > m.o then return gap('ahead') end
  if offset < from then return gap('trimmed') end
  local proof = m.t
  if offset < m.o then
    local next_one = entry(offset + 1)
    if not next_one then return gap('trimmed') end
    proof = next_one.p
  end
  local begun = offset > 0 or ARGV[3] == m.e or ARGV[3] == m.b
  if proof ~= ARGV[5] or not begun then return gap('tag') end
  from = offset
end

local most, bytes = tonumber(ARGV[6]), tonumber(ARGV[7])
local taken, size = 0, 0
while taken < most and from < m.o do
  local chunk = redis.call('XRANGE', KEYS[2], text(from + 1) .. '-0', '+',
    'COUNT', math.min(CHUNK, most - taken))
  if #chunk == 0 then break end
  for _, found in ipairs(chunk) do
    local fields = {}
    for n = 1, #found[2], 2 do fields[found[2][n]] = found[2][n + 1] end
    size = size + #fields.f
    if taken > 0 and size > bytes then return answer end
    from = tonumber(string.match(found[1], '^%d+'))
    for _, value in ipairs({ text(from), fields.t, fields.p, fields.a, fields.f }) do
      answer[#answer + 1] = value
    end
    taken = taken + 1
  end
end
return answer
