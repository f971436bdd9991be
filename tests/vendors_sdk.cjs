// Runs the vendor's Node SDK for `vendors_sdk.py`: what to do is JSON on stdin, the result JSON on stdout.
// Usage: node vendors_sdk.cjs <folder of the SDK>

const { HighLevel } = require(process.argv[2])

const SERVICES = ['calendars', 'contacts', 'oauth', 'users', 'locations']

function listParameters(method) {
  const [, text] = /^async\s+\w+\(([^)]*)\)/.exec(method.toString()) ?? []
  return text === undefined ? null : text.split(',').map((one) => one.trim().split(/\s*=/)[0]).filter(Boolean)
}

function* listMethods(sdk) {
  for (const service of SERVICES) {
    const prototype = Object.getPrototypeOf(sdk[service])
    for (const name of Object.getOwnPropertyNames(prototype)) {
      const parameters = listParameters(prototype[name])
      if (name !== 'constructor' && parameters?.includes('options')) yield { service, name, parameters }
    }
  }
}

// A placeholder for every parameter: each method shows its route by sending it.
const anything = new Proxy({}, { get: (_, name) => (typeof name === 'string' ? 'x' : undefined) })

async function list() {
  const sdk = new HighLevel({ privateIntegrationToken: 'pit-none' })
  const seen = []
  sdk.httpClient.request = async (config) => {
    seen.push(config)
    return { data: {} }
  }
  const calls = []
  for (const call of listMethods(sdk)) {
    seen.length = 0
    const given = call.parameters.map((name) => ({ params: anything, requestBody: {} })[name])
    await sdk[call.service][call.name](...given)
    calls.push({ ...call, method: seen[0].method, path: seen[0].url })
  }
  return calls
}

async function run({ url, token, agencyToken, clientId, clientSecret, calls }) {
  HighLevel.BASE_URL = url
  const ofLocation = new HighLevel({ privateIntegrationToken: token, logLevel: 'none' })
  const ofAgency = new HighLevel({ clientId, clientSecret, agencyAccessToken: agencyToken, logLevel: 'none' })
  const results = []
  for (const { service, name, parameters, params, body } of calls) {
    const sdk = service === 'oauth' ? ofAgency : ofLocation
    const given = parameters.map((one) => ({ params: params ?? anything, requestBody: body ?? {} })[one])
    try {
      results.push({ data: await sdk[service][name](...given) })
    } catch (error) {
      results.push({ error: String(error.message), status: error.statusCode ?? null })
    }
  }
  return results
}

async function connect({ url, clientId, clientSecret, redirectUri, companyId, locationId, scope }) {
  HighLevel.BASE_URL = url
  const app = new HighLevel({ clientId, clientSecret, logLevel: 'none' })
  app.oauth.MARKETPLACE_URL = url
  const keys = { client_id: clientId, client_secret: clientSecret }
  const exchange = async (more, userType) => {
    const page = await fetch(app.oauth.getAuthorizationUrl(clientId, redirectUri, scope) + more, { redirect: 'manual' })
    const code = new URL(page.headers.get('location')).searchParams.get('code')
    const grant = { code, grant_type: 'authorization_code', user_type: userType, redirect_uri: redirectUri }
    return app.oauth.getAccessToken({ ...keys, ...grant })
  }
  const first = await exchange('', 'Location')
  const second = await app.oauth.refreshToken(first.refresh_token, clientId, clientSecret, 'refresh_token', 'Location')
  const agency = await exchange('&user_type=Company', 'Company')
  const withAgency = new HighLevel({ clientId, clientSecret, agencyAccessToken: agency.access_token, logLevel: 'none' })
  const third = await withAgency.oauth.getLocationAccessToken({ companyId, locationId })
  const counts = []
  for (const { access_token: locationAccessToken } of [first, second, third]) {
    const sdk = new HighLevel({ clientId, clientSecret, locationAccessToken, logLevel: 'none' })
    counts.push((await sdk.calendars.getCalendars({ locationId })).calendars.length)
  }
  return { counts, refreshed: first.refresh_token !== second.refresh_token }
}

async function main() {
  let text = ''
  for await (const part of process.stdin) text += part
  const { task, ...wish } = JSON.parse(text)
  process.stdout.write(JSON.stringify(await { list, run, connect }[task](wish)))
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
