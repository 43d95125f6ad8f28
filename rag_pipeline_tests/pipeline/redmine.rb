# A real Redmine for tests: its web server on a port of this machine, and random changes by commands on standard input.
#
#   change SEED COUNT   make so many changes; answers with their number
#   shown               answers with what each active user may see, as Redmine's own model says, and with all words
#   quit
#
# Run by `bin/rails runner` of a Redmine whose database may be written over. Answers are one line of JSON each.
require "json"
# Its Gemfile names no server, and hides what the system has.
$LOAD_PATH.concat(Dir["/usr/share/rubygems-integration/all/gems/webrick-*/lib"])
require "webrick"
require "rack/handler/webrick"

PORT, FILES = ENV.fetch("REDMINE_PORT").to_i, ENV.fetch("REDMINE_FILES")
ActionMailer::Base.delivery_method = :test
ActionMailer::Base.perform_deliveries = false
Attachment.storage_path = FILES
Setting.rest_api_enabled = "1"
Setting.login_required = "1"
Setting.notified_events = []
User.current = ADMIN = User.where(admin: true).first
ADMIN.update_columns(must_change_passwd: false)

STATUS = IssueStatus.create!(name: "Open here")
PRIORITY = IssuePriority.create!(name: "Middling", is_default: true)
TRACKERS = %w[Leak Wish].map { |name| Tracker.create!(name: name, default_status: STATUS) }
ROLES = %w[Boss Crew Guest].map { |name| Role.create!(name: name, permissions: [:view_issues]) }
USERS = (1..7).map do |number|
  user = User.new(firstname: "U#{number}", lastname: "X", mail: "u#{number}@example.org", language: "en")
  user.login = "u#{number}"
  user.password = user.password_confirmation = "long password #{number}"
  user.save!
  user
end
GROUPS = %w[deck shore].map { |name| Group.create!(lastname: name) }
PROJECT = Project.create!(name: "Harbour", identifier: "harbour", is_public: false, trackers: TRACKERS)
PROJECT.enabled_module_names = ["issue_tracking"]
$count = 0

def word
  $count += 1
  "word#{$count}"
end

def text
  "The #{word} of the harbour is about #{word} and about nothing else."
end

def any_issue(random)
  Issue.offset(random.rand([Issue.count, 1].max)).first
end

def save(record)
  record.reload if record.persisted? && record.respond_to?(:lock_version)
  yield record
  record.save!
end

# What happens to issues, and what happens to who may see them.
CHANGES = {
  "create" => lambda do |random|
    Issue.create!(project: PROJECT, tracker: TRACKERS.sample(random: random), subject: "About #{word}",
                  description: text, author: USERS.sample(random: random), status: STATUS, priority: PRIORITY,
                  is_private: random.rand(3).zero?)
  end,
  "edit" => ->(random) { (issue = any_issue(random)) && save(issue) { |one| one.description = text } },
  "delete" => ->(random) { (issue = any_issue(random)) && Issue.count > 12 && issue.destroy },
  "private" => ->(random) { (issue = any_issue(random)) && save(issue) { |one| one.is_private = !one.is_private } },
  "hide and edit" => lambda do |random|
    (issue = any_issue(random)) && save(issue) { |one| one.assign_attributes(is_private: true, description: text) }
  end,
  "assign" => lambda do |random|
    (issue = any_issue(random)) && issue.update_columns(assigned_to_id: [*USERS, *GROUPS, nil].sample(random: random)&.id)
  end,
  "tracker" => lambda do |random|
    (issue = any_issue(random)) && issue.update_columns(tracker_id: TRACKERS.sample(random: random).id)
  end,
  "note" => lambda do |random|
    issue = any_issue(random)
    issue && Journal.create!(journalized: issue, user: USERS.sample(random: random), notes: text,
                             private_notes: random.rand(3).zero?, notify: false)
  end,
  "change note" => lambda do |random|
    note = Journal.where.not(notes: [nil, ""]).offset(random.rand([Journal.count, 1].max)).first
    note && case random.rand(3)
            when 0 then note.update_columns(private_notes: !note.private_notes)
            when 1 then note.update_columns(notes: text)
            else note.destroy
            end
  end,
  "member" => lambda do |random|
    who = [*USERS, *GROUPS].sample(random: random)
    member = Member.find_by(project: PROJECT, user_id: who.id)
    roles = ROLES.sample(1 + random.rand(2), random: random)
    if member.nil?
      Member.create!(project: PROJECT, principal: who, roles: roles)
    elsif random.rand(2).zero?
      member.deletable? && member.destroy
    else
      member.role_ids = (member.member_roles.select(&:inherited_from).map(&:role_id) + roles.map(&:id)).uniq
      member.save!
    end
  end,
  "group" => lambda do |random|
    group, user = GROUPS.sample(random: random).reload, USERS.sample(random: random)
    group.users.include?(user) ? group.users.delete(user) : group.users << user
  end,
  "role" => lambda do |random|
    role = ROLES.sample(random: random).reload
    case random.rand(4)
    when 0 then role.permissions.include?(:view_issues) ? role.remove_permission!(:view_issues) : role.add_permission!(:view_issues)
    when 1
      trackers = TRACKERS.sample(1, random: random).map { |each| each.id.to_s }
      role.set_permission_trackers(:view_issues, random.rand(2).zero? ? :all : trackers)
      role.save!
    else role.update!(issues_visibility: %w[all default own].sample(random: random))
    end
  end,
  "lock" => lambda do |random|
    user = USERS.sample(random: random).reload
    user.active? ? user.lock! : user.activate!
  end,
  "public" => ->(random) { PROJECT.reload.update!(is_public: random.rand(4).zero?) },
}.freeze
OFTEN = CHANGES.keys + %w[create delete edit edit note note private member group]

def change(seed, count)
  random = Random.new(seed)
  count.times do
    # Nothing that Redmine kept in memory of its users is taken for what is so.
    User.current = User.find(ADMIN.id)
    CHANGES.fetch(OFTEN.sample(random: random)).call(random)
  end
  count
end

def shown
  users = User.active.where.not(type: "AnonymousUser").reject { |user| user.login.blank? }
  seen = users.to_h { |user| [user.login, Issue.where(project: PROJECT).visible(User.find(user.id)).pluck(:id).sort] }
  texts = Issue.where(project: PROJECT).flat_map do |issue|
    notes = Journal.where(journalized: issue, private_notes: false).pluck(:notes)
    [issue.subject, issue.description, *notes.compact]
  end
  { seen: seen, issues: Issue.where(project: PROJECT).pluck(:id).sort, words: texts.join(" ").scan(/word\d+/).uniq.sort }
end

class Quiet < WEBrick::BasicLog
  def initialize
    super($stderr, WEBrick::BasicLog::ERROR)
  end
end

Thread.abort_on_exception = true
ready = Queue.new
Thread.new do
  Rack::Handler::WEBrick.run(Rails.application, Port: PORT, BindAddress: "127.0.0.1", Logger: Quiet.new, AccessLog: [],
                             StartCallback: -> { ready << true })
end
ready.pop
$stdout.sync = true
puts JSON.generate(key: ADMIN.api_key)
while (line = $stdin.gets)
  name, *numbers = line.split
  break if name == "quit"

  puts JSON.generate(name == "change" ? change(*numbers.map(&:to_i)) : shown)
end
# The web server has no more to finish.
exit!(0)
