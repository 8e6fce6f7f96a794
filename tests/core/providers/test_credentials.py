"""Keys and addresses: where they come from, what is refused, and that they stay where they are."""

from __future__ import annotations

import pytest
from segment_anywhere.core.providers.contract import ProviderError
from segment_anywhere.core.providers.credentials import load_profile, settings_state
from segment_anywhere.core.providers.registry import PROVIDERS

KEY = "sk-0123456789abcdef"
HAS_KEY = [key for key, provider in PROVIDERS.items() if provider.needs_key]


@pytest.fixture
def write(tmp_path):
    """Writes providers.toml into tmp_path."""

    def write(text: str, mode: int = 0o600):
        path = tmp_path / "providers.toml"
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


@pytest.mark.parametrize("key", HAS_KEY)
def test_without_a_key_the_message_names_the_variables(tmp_path, key):
    provider = PROVIDERS[key]
    with pytest.raises(ProviderError) as caught:
        load_profile(provider, "", tmp_path, {})
    message = str(caught.value)
    assert message.startswith(f"{provider.title}: no key. Set ")
    assert all(name in message for group in provider.key_variables for name in group)
    assert "providers.toml" in message


VARIABLES = [
    ("imagineo", {"IMAGINEOAI_API_KEY": KEY}, KEY),
    ("airefinery", {"AIR_API_KEY": KEY, "AIREFINERY_API_KEY": "other"}, KEY),
    ("airefinery", {"AIREFINERY_API_KEY": KEY}, KEY),
    ("segmind", {"SEGMIND_API_KEY": f" {KEY}\n"}, KEY),
    ("moark", {"GITEE_AI_API_KEY": KEY, "MOARK_API_KEY": "other"}, KEY),
    ("moark", {"MOARK_API_KEY": KEY}, KEY),
    ("fal", {"FAL_KEY": KEY, "FAL_KEY_ID": "id", "FAL_KEY_SECRET": "secret"}, KEY),
    ("fal", {"FAL_KEY_ID": "id", "FAL_KEY_SECRET": "secret"}, "id:secret"),
]


@pytest.mark.parametrize(("provider", "environment", "key"), VARIABLES)
def test_the_vendors_own_variables(tmp_path, provider, environment, key):
    assert load_profile(PROVIDERS[provider], "", tmp_path, environment).key == key


@pytest.mark.parametrize(
    ("provider", "environment"),
    [
        ("airefinery", {"API_KEY": KEY}),
        ("fal", {"FAL_KEY_ID": "id"}),
        ("segmind", {"FAL_KEY": KEY}),
    ],
)
def test_anybody_elses_variable_is_not_taken(tmp_path, provider, environment):
    with pytest.raises(ProviderError, match="no key"):
        load_profile(PROVIDERS[provider], "", tmp_path, environment)


def test_the_environment_goes_before_the_file_and_the_file_before_the_vendor(tmp_path, write):
    segmind = PROVIDERS["segmind"]
    variables = {"SEGMIND_API_KEY": KEY}
    assert load_profile(segmind, "", tmp_path, variables).url == "https://api.segmind.com"
    write('[segmind]\nkey = "from-file"\nurl = "https://gateway.example/"\n')
    profile = load_profile(segmind, "", tmp_path, {})
    assert (profile.key, profile.url) == ("from-file", "https://gateway.example")
    variables["SEGMENT_ANYWHERE_SEGMIND_URL"] = "http://127.0.0.1:9000"
    profile = load_profile(segmind, "", tmp_path, variables)
    assert (profile.key, profile.url) == (KEY, "http://127.0.0.1:9000")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o610])
def test_a_file_that_others_can_reach_is_refused(tmp_path, write, mode):
    path = write(f'[segmind]\nkey = "{KEY}"\n', mode)
    with pytest.raises(ProviderError, match=f"found mode {mode:04o}.*chmod 600") as caught:
        load_profile(PROVIDERS["segmind"], "", tmp_path, {})
    assert str(path) in str(caught.value)
    assert KEY not in str(caught.value)


FILES = {
    "no TOML": (f"[segmind\nkey = '{KEY}'", "cannot be read as TOML"),
    "no table": (f"segmind = '{KEY}'", r"\[segmind\] is no table"),
    "unknown entry": (
        f"[segmind]\nkey = '{KEY}'\nkeey = '{KEY}'",
        "number 2 of .segmind. is not known",
    ),
    "key of another type": ("[segmind]\nkey = 5", "entry key of .segmind."),
    "headers of another type": (f"[segmind]\nkey = '{KEY}'\nheaders = 'x'", "entry headers"),
    "http": (f"[segmind]\nkey = '{KEY}'\nurl = 'http://gateway.example'", "accepted is https://"),
    "proxy of another type": (f"[segmind]\nkey = '{KEY}'\nproxy = 'yes'", "entry proxy"),
    "no address": (f"[segmind]\nkey = '{KEY}'\nurl = 'gateway'", "accepted is https://"),
    "a key for an entry": (f"[segmind]\n{KEY} = 1", "entry number 1 of .segmind. is not known"),
    "a key twice": (f"[segmind]\n{KEY} = 1\n{KEY} = 1", r"TOML \(at "),
    "a key as a table": (f"[{KEY}]\n[{KEY}]", r"TOML \(at line 2"),
    "user in it": (
        f"[segmind]\nkey = 'k'\nurl = 'https://me:{KEY}@x.example'",
        "found the URL 'https://x.example'; accepted is https://",
    ),
    "key in its path": (
        f"[segmind]\nkey = 'k'\nurl = 'http://x.example/{KEY}/v1'",
        r"found the URL 'http://x.example/\[hidden\]/v1'",
    ),
    "parameters in it": (
        f"[segmind]\nkey = 'k'\nurl = 'https://x.example/?key={KEY}'",
        r"found the URL 'https://x.example/\?\[hidden\]'",
    ),
    "no host that can be": ("[segmind]\nkey = 'k'\nurl = 'https://a..b'", "found the URL"),
    "header over lines": (
        f'[segmind]\nkey = "k"\nheaders = {{ "X" = "{KEY}\\nX-Other: 1" }}',
        "header number 1 of .segmind. cannot be sent",
    ),
    "key for a header": (
        f'[segmind]\nkey = "k"\nheaders = {{ "{KEY}:" = "x" }}',
        "header number 1 of .segmind. cannot be sent",
    ),
    "key with a space": ("[segmind]\nkey = 'sk-01 23'", "spaces, line breaks"),
    "key with a line break": ('[segmind]\nkey = "sk-01\\nX-Other: 1"', "spaces, line breaks"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_refused(tmp_path, write, name):
    text, words = FILES[name]
    write(text)
    with pytest.raises(ProviderError, match=words) as caught:
        load_profile(PROVIDERS["segmind"], "", tmp_path, {})
    assert KEY not in str(caught.value)


def test_a_proxy_of_fals_adds_the_key_itself(tmp_path, write):
    """At fal's own address, and at gateways of others, a key is needed."""
    write('[fal]\nurl = "https://app.example/api/fal/proxy"\nproxy = true\n')
    profile = load_profile(PROVIDERS["fal"], "", tmp_path, {})
    assert (profile.key, profile.settings) == ("", {"proxy": True})
    assert PROVIDERS["fal"].auth_headers(profile) == {}
    with pytest.raises(ProviderError, match="Segmind: no key"):
        url = {"SEGMENT_ANYWHERE_SEGMIND_URL": "https://gateway.example"}
        load_profile(PROVIDERS["segmind"], "", tmp_path, url)


ADDRESSES = [
    ({}, "", "https://api.airefinery.accenture.com"),
    ({}, "https://file.example", "https://file.example"),
    ({"AIREFINERY_ADDRESS": "https://theirs.example/"}, "", "https://theirs.example"),
    ({"AIREFINERY_ADDRESS": "https://theirs.example"}, "https://file.example", None),
    ({"AIREFINERY_ADDRESS": " "}, "https://file.example", "https://file.example"),
]


@pytest.mark.parametrize(("environment", "own", "wanted"), ADDRESSES)
def test_ai_refinerys_own_variable_has_its_address(tmp_path, write, environment, own, wanted):
    write(f'[airefinery]\nkey = "{KEY}"\nurl = "{own}"\n')
    provider = PROVIDERS["airefinery"]
    profile = load_profile(provider, "", tmp_path, environment)
    assert profile.url == (wanted or "https://theirs.example")
    ours = {"SEGMENT_ANYWHERE_AIREFINERY_URL": "https://ours.example"}
    assert load_profile(provider, "", tmp_path, environment | ours).url == "https://ours.example"


def test_a_wrong_address_names_both_variables(tmp_path):
    environment = {"AIREFINERY_ADDRESS": "http://theirs.example", "AIR_API_KEY": KEY}
    with pytest.raises(ProviderError, match="_AIREFINERY_URL or AIREFINERY_ADDRESS or providers"):
        load_profile(PROVIDERS["airefinery"], "", tmp_path, environment)


def test_profiles_of_own_servers(tmp_path, write):
    custom = PROVIDERS["custom"]
    write(
        '[custom.gpu-box]\ndialect = "roboflow"\nurl = "http://192.168.1.20:9001"\nlocal = true\n'
        'key_variable = "BOX_KEY"\n[custom.openai]\nurl = "http://127.0.0.1:7000"\n'
    )
    box = load_profile(custom, "gpu-box", tmp_path, {"BOX_KEY": KEY})
    assert (box.url, box.key, box.is_local) == ("http://192.168.1.20:9001", KEY, True)
    assert custom.variant({}, box) == "roboflow"
    assert load_profile(custom, "openai", tmp_path, {}).url == "http://127.0.0.1:7000"
    hugging_face = load_profile(custom, "huggingface", tmp_path, {"HF_TOKEN": KEY})
    assert hugging_face.key == KEY
    with pytest.raises(ProviderError, match="found 'nowhere'; accepted are gpu-box, huggingface"):
        load_profile(custom, "nowhere", tmp_path, {})


GATEWAY = "https://gateway.example"
URLS = {
    "openai": GATEWAY,
    "bare": GATEWAY,
    "huggingface": "https://router.huggingface.co/hf-inference",
    "roboflow": "http://127.0.0.1:9001",
    "box": "https://box.example",
}


@pytest.mark.parametrize("name", URLS)
def test_the_variable_moves_only_profiles_without_an_address_of_their_own(tmp_path, write, name):
    """A workflow names the profile, so that it chooses the key: it must not get to the gateway."""
    write('[custom.box]\nurl = "https://box.example"\n[custom.bare]\ndialect = "openai"\n')
    environment = {"SEGMENT_ANYWHERE_CUSTOM_URL": GATEWAY, "HF_TOKEN": KEY}
    profile = load_profile(PROVIDERS["custom"], name, tmp_path, environment)
    assert profile.url == URLS[name]
    assert load_profile(PROVIDERS["custom"], "openai", tmp_path, {}).url == "http://127.0.0.1:8091"


def test_a_key_for_the_name_of_a_profile_is_not_shown(tmp_path, write):
    write(f'[custom]\n{KEY} = "x"\n[custom.{KEY}x]\n[custom.box]\n')
    with pytest.raises(ProviderError) as caught:
        load_profile(PROVIDERS["custom"], f"{KEY}y", tmp_path, {})
    assert KEY not in str(caught.value)
    assert "found [hidden]; accepted are box, huggingface, openai, roboflow" in str(caught.value)


def test_a_server_of_ones_own_that_is_no_table(tmp_path, write):
    write('[custom]\nbox = "x"\n')
    with pytest.raises(ProviderError, match=r"\[custom.box\] is no table"):
        load_profile(PROVIDERS["custom"], "box", tmp_path, {})


def test_a_key_is_in_no_text_form(tmp_path):
    profile = load_profile(PROVIDERS["segmind"], "", tmp_path, {"SEGMIND_API_KEY": KEY})
    assert KEY not in repr(profile) + str(profile)


def test_the_fingerprint_follows_the_settings_and_not_the_key(tmp_path, write):
    urls = {"SEGMENT_ANYWHERE_FAL_URL": "https://a.example"}
    states = [
        settings_state(tmp_path, {"FAL_KEY": KEY}),
        settings_state(tmp_path, urls | {"FAL_KEY": KEY}),
    ]
    write(f'[segmind]\nkey = "{KEY}"\n')
    states.append(settings_state(tmp_path, urls))
    assert len({repr(state) for state in states}) == 3
    assert settings_state(tmp_path, urls | {"FAL_KEY": "another"}) == states[-1]
    assert settings_state(tmp_path, urls | {"AIREFINERY_ADDRESS": "https://b"}) != states[-1]
    assert KEY not in repr(states)
    # The host shows it to whoever may see a history.
    assert KEY not in repr(
        settings_state(tmp_path, {"SEGMENT_ANYWHERE_FAL_URL": f"https://{KEY}@x"})
    )


@pytest.mark.parametrize("key", ["sk-01\nX-Other:1", "sk\t01", "sk-\x7f01", "sk-ü01", "sk-01 23"])
def test_keys_that_no_header_can_carry(tmp_path, key):
    with pytest.raises(ProviderError, match="spaces, line breaks or letters") as caught:
        load_profile(PROVIDERS["segmind"], "", tmp_path, {"SEGMIND_API_KEY": key})
    assert key not in str(caught.value)
